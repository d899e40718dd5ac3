"""``geodetect convert``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from geodetect.errors import GeoreferenceError, list_names
from geodetect.io.atomic import check_overwrite, final_path
from geodetect.progress import phase
from geodetect.settings import ConvertSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

if TYPE_CHECKING:
    from geodetect.model.card import ModelCard

EXAMPLES = """\b
Examples:
  geodetect convert yolo11n.onnx -o cars.safetensors --gsd 10cm --check scene.tif
  geodetect convert best.onnx -o cars.safetensors --classes car,bus --layout yolov8
  geodetect convert retinanet_resnet50_fpn_coco.pth -o coco.safetensors
  geodetect convert my-trees.ckpt -o trees.safetensors --classes tree --gsd 10cm
  geodetect convert cars.pt -o cars.safetensors --classes car --no-resize
  geodetect convert old.safetensors -o new.safetensors"""


class ConvertFiles(Settings):
    """Input and output of ``convert``."""

    weights: Annotated[Path, CommandLine("WEIGHTS", positional=True, reads="weights")] = Field(
        description="Detector of another program as .onnx; or state dict or checkpoint of a "
        "RetinaNet: .pt .pth .pl .ckpt .bin .safetensors. No code in it is run. Or a model file of "
        "an older version, which gets its network in OpenVINO's form."
    )
    output: options.OutputFile = Field(description="Model file, .safetensors.")
    check: Annotated[str, CommandLine("IMAGE", reads="raster")] | None = Field(
        None,
        description="Picture or raster to run the model on: what it finds is drawn beside the "
        "model, as NAME_check.png, so that a wrong layout is seen.",
    )


@settings_command
def command(
    files: ConvertFiles, settings: ConvertSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """Convert a model of another program to a model file.

    It may be the ONNX file of a detector, YOLO, YOLOX, NanoDet, RT-DETR or another: the layout of
    its outputs is recognised. Or it is a checkpoint of a RetinaNet of torchvision or DeepForest.
    Class names, input size, scaling and resolution are those of the metadata of the ONNX file, as
    Ultralytics, Deepness and GeoDeep write them, unless options state them.
    """
    from geodetect.io.raster.dataset import read_dataset
    from geodetect.model.convert import convert

    drawing = files.output.with_name(f"{files.output.stem}_check.png")
    if files.check is not None:  # before the work, not only after it
        check_overwrite(final_path(drawing), overwrite=result.overwrite)
        read_dataset(files.check, lambda dataset: None)
    card = convert(files.weights, files.output, settings=settings, overwrite=result.overwrite)
    rows = _rows(card, files.output)
    check = None
    if files.check is not None:
        check = _draw_check(files.check, files.output, drawing, overwrite=result.overwrite)
        rows.append(("Check", check.summary(drawing, card)))
    ending.suggest(next_commands.after_convert(files.output))
    if result.as_json:
        from geodetect_cli.json_output.models import ConvertOutput

        console.print_json(
            ConvertOutput.from_values(
                output=files.output,
                card=card.model_dump(),
                drawing=None if check is None else drawing,
                by_class=None if check is None else check.objects,
            )
        )
    elif not messages.quiet:
        console.show_table("", rows)


@dataclass(frozen=True)
class Check:
    """Objects that a converted model finds on a picture.

    Args:
        objects: Their number by class.
    """

    objects: Mapping[str, int]

    def summary(self, drawing: Path, card: ModelCard) -> str:
        """Return the objects by class, and the file that shows them."""
        if not self.objects:
            return (
                f"nothing found at a score of {card.conf:g} and more: the model does not know what "
                f"the picture shows, or its layout, scaling or resolution is another ({drawing})"
            )
        counts = list_names(f"{name} {count:,}" for name, count in self.objects.items())
        return f"{counts}, drawn in {drawing}"


def _draw_check(image: str, model: Path, drawing: Path, *, overwrite: bool) -> Check:
    """Draw the objects that a model finds on a picture."""
    from geodetect.detection.predict import predict
    from geodetect.reporting.preview import preview

    with phase("Checking the model on a picture"):
        try:
            objects, in_pixels = predict(image, model), False
        except GeoreferenceError:  # a photograph
            objects, in_pixels = predict(image, model, pixel_coords=True), True
        preview(image, objects, output=drawing, overwrite=overwrite, pixel_coords=in_pixels)
    return Check(objects["class"].value_counts().to_dict())


def _rows(card: ModelCard, output: Path) -> list[tuple[str, str]]:
    names = list_names(card.classes)
    size = f"{card.tile_px} px"
    if card.input_scale != 1:
        size += f", enlarged to {round(card.tile_px * card.input_scale)} px for the network"
    return [
        ("Model", str(output)),
        ("Converted", card.training.initial_weights),
        ("Classes", f"{len(card.classes)}: {names}"),
        *([] if card.imported is None else [("Layout", card.imported.layout)]),
        ("Resolution", "the rasters' own" if card.gsd_m is None else f"{card.gsd_m:g} m per pixel"),
        ("Tiles", size),
        ("Default --conf", f"{card.conf:g}"),
        ("Default --nms-iou", f"{card.iou:g}"),
    ]
