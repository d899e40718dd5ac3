"""``geodetect quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geodetect_cli import console, options

if TYPE_CHECKING:
    from geodetect.model.card import ModelCard

EXAMPLES = """\b
Examples:
  geodetect quantize pools --rasters town.tif -o pools-int8.safetensors
  geodetect quantize my.safetensors --rasters tiles/ -o my-int8.safetensors"""


def command(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="The model. See `geodetect models`.")
    ],
    rasters: Annotated[
        list[str],
        typer.Option(
            metavar="PATH",
            help="Rasters like those to predict on, with objects, or folders of them. Repeatable.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Model file, .safetensors: the whole model and its network in 8 bit.",
        ),
    ],
    tiles: Annotated[
        int,
        typer.Option(min=2, metavar="N", help="Tiles to draw: half calibrate, the others check."),
    ] = 128,
    least_ap: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="AP",
            help="Least average precision (IoU 0.5) against what the full network finds.",
        ),
    ] = 0.97,
    aoi: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Polygons to draw tiles in, any CRS.")
    ] = None,
    bands: options.Bands = None,
    value_range: options.ValueRange = None,
    src_crs: options.SrcCrs = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Start of all randomness.")] = 0,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Add a network in 8 bit to a model, for predict --precision int8."""
    from geodetect.quantization.quantize import quantize
    from geodetect.settings import QuantizeSettings

    settings = options.parse_settings(
        QuantizeSettings,
        {
            "tiles": tiles,
            "least_ap": least_ap,
            "aoi": aoi,
            "bands": options.parse_bands(bands),
            "value_range": options.parse_numbers(value_range, "--value-range", 2),
            "src_crs": src_crs,
            "seed": seed,
        },
    )
    with console.progress_bar("tiles", quiet=quiet) as progress:
        card = quantize(
            model, rasters, output, settings=settings, overwrite=overwrite, progress=progress
        )
    if as_json:
        console.print_json(card.model_dump(mode="json"))
    elif not quiet:
        console.show_table("", _rows(card, output))


def _rows(card: ModelCard, output: Path) -> list[tuple[str, str]]:
    assert card.int8 is not None
    found = card.int8
    return [
        ("Model", f"{output}, {output.stat().st_size / 1e6:.1f} MB"),
        ("Calibrated on", f"{found.calibration_tiles:,} tiles"),
        ("Checked on", f"{found.checked_tiles:,} other tiles with {found.objects:,} objects"),
        ("AP against full network", f"{found.ap50:.3f} at IoU 0.5, {found.ap75:.3f} at IoU 0.75"),
        ("Use it with", "geodetect predict --model FILE --precision int8"),
    ]
