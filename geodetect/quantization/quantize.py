"""Quantization of a model to int8, calibrated and compared with the model on tiles of rasters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import match_boxes_at, offset_boxes
from geodetect.detection.detections import Detections
from geodetect.detection.detectors.load import make_detector
from geodetect.detection.plan import GroundPlan
from geodetect.detection.plan_rasters import plan_rasters
from geodetect.detection.run.description import RunDescription
from geodetect.errors import InputError
from geodetect.geo.tiles import Tile
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.raster.georeference import georeference_advice
from geodetect.model.card import Int8Record, ModelCard
from geodetect.model.file import Weights, check_target, read_model_file, write_model_file
from geodetect.model.runtimes.stored_networks import INT8, NETWORK, holds_network, store_network
from geodetect.progress import Progress, announce, as_progress, phase, reports_progress
from geodetect.quantization.nncf import Image, import_nncf, library_versions, quantize_network
from geodetect.settings import PredictSettings, QuantizeSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import QuantizeKeywords
from geodetect.types import PathLike, RasterSource

MAX_SCORE_THRESHOLD = 0.05  # average precision needs detections far below the model's threshold
IOUS = (0.5, 0.75)
MIN_VALID_FRACTION = 0.5  # of a tile: constant areas without data tell nothing about ranges


@dataclass(frozen=True)
class SampledTile:
    """A tile of a raster, to be read when it is needed.

    Args:
        plan: The ground and its working grid.
        tile: Its window, in pixels of the working grid.
    """

    plan: GroundPlan
    tile: Tile

    def read(self) -> Image:
        """Read pixels ``uint8[C, H, W]`` and their validity ``bool[H, W]``."""
        pixels = self.plan.ground.read(self.tile, self.plan.grid)
        return pixels.values, pixels.valid


@takes_settings(QuantizeSettings)
@reports_progress
def quantize(
    model: PathLike,
    rasters: RasterSource | Sequence[RasterSource],
    output: PathLike,
    *,
    settings: QuantizeSettings | Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | bool = False,
    **keywords: Unpack[QuantizeKeywords],
) -> ModelCard:
    """Write a model file with an int8-quantized network beside the full-precision one.

    ``predict`` runs it with ``precision="int8"``.

    Args:
        model: Name of a built-in model or path of a model file.
        rasters: Files, folders of rasters or URLs: imagery like that to predict on, with objects.
        output: Model file to write, ``.safetensors``; with ``overwrite`` it may be ``model``.
        settings: See ``QuantizeSettings``.
        overwrite: Replace ``output`` if it exists.
        progress: Called after every tile.
        keywords: Settings by name, such as ``tiles=64``; they win over ``settings``.

    Returns:
        The card of the new file; its ``int8`` states how well the two networks agree.

    Raises:
        MissingDependencyError: NNCF is not installed.
        ModelFileError: There is no such model or its file is damaged.
        RasterError: A raster cannot be opened or read.
        InputError: The rasters show no objects, or the int8-quantized network is too inaccurate.
        OutputError: The model cannot be written.
    """
    settings, target = QuantizeSettings.resolve(settings, keywords), Path(output)
    rasters = as_raster_paths(rasters)
    progress = as_progress(progress)
    check_target(target, overwrite=overwrite)
    import_nncf()  # fail before any work if it is missing
    card, arrays = read_model_file(model)
    if card.imported is None and not holds_network(arrays, NETWORK):  # of an older version
        from geodetect.model.runtimes.conversion import add_networks  # imports PyTorch

        arrays = add_networks(card, arrays)
    raster_settings = settings.model_dump(include={"bands", "value_range", "src_crs", "aoi"})
    with ExitStack() as stack:
        with georeference_advice("choose other `rasters`"):
            plans = plan_rasters(rasters, card, PredictSettings(overlap=0, **raster_settings))
        for plan in plans:
            stack.enter_context(plan.ground)
        with phase("Choosing tiles"):
            tiles = sample_tiles(plans, settings.tiles, seed=settings.seed)
        run = RunDescription.from_plans(card, plans, conf=card.conf, runs_on="OpenVINO on cpu")
        announce(*replace(run, tiles=len(tiles), area_km2=None).lines())
        calibration, comparison = tiles[::2], tiles[1::2] or tiles
        completed, total = count(1), len(calibration) + len(comparison)
        report = stack.enter_context(phase("Calibrating and checking", "tiles", progress=progress))

        def advance() -> None:
            report(next(completed), total)

        def read(tile: SampledTile) -> Image:
            advance()
            return tile.read()

        network = quantize_network(card, arrays, calibration, read=read)
        weights = store_network(card, arrays, INT8, network)
        objects, ap50, ap75 = compare_networks(card, weights, comparison, advance=advance)
    if ap50 < settings.min_ap:
        raise InputError(
            f"model {card.name}: int8-quantized, its average precision against the full network is "
            f"only {ap50:.3f} ({objects:,} objects), expected at least {settings.min_ap:g}; "
            f"calibrate on other `rasters` or more `tiles`, or accept it with a lower `min_ap`"
        )
    record = Int8Record(
        calibration_tiles=len(calibration),
        checked_tiles=len(comparison),
        objects=objects,
        ap50=ap50,
        ap75=ap75,
        made_with=library_versions(),
    )
    card = card.model_copy(update={"int8": record})
    write_model_file(target, card, weights)
    return card


def sample_tiles(plans: Sequence[GroundPlan], count: int, *, seed: int) -> list[SampledTile]:
    """Draw tiles from all rasters, in random order, of which at least half is imagery.

    Args:
        plans: Grounds.
        count: Number of tiles; all tiles if there are fewer.
        seed: Random seed.

    Raises:
        InputError: No tile is imagery for the most part.
    """
    rows = [(plan, row) for plan in plans for row in range(len(plan.scheme.rows))]
    first = np.cumsum([0, *(len(plan.columns_in(row)) for plan, row in rows)])  # tile of each row
    samples: list[SampledTile] = []
    for number in np.random.default_rng(seed).permutation(first[-1]):
        position = int(np.searchsorted(first, number, side="right")) - 1
        plan, row = rows[position]
        tile = plan.scheme.tile(row, int(plan.columns_in(row)[number - first[position]]))
        if plan.ground.read_valid(tile, plan.grid).mean() >= MIN_VALID_FRACTION:
            samples.append(SampledTile(plan, tile))
        if len(samples) == count:
            break
    if not samples:
        raise InputError(
            f"{plans[0].ground.path}: no tile of it, or of other `rasters`, is imagery for the "
            f"most part; calibrate on `rasters` with more imagery"
        )
    return samples


def compare_networks(
    card: ModelCard, weights: Weights, tiles: Sequence[SampledTile], *, advance: Callable[[], None]
) -> tuple[int, float, float]:
    """Match the detections of the int8-quantized network with the full-precision network's.

    Returns:
        ``objects``, ``ap50`` and ``ap75`` of the card's ``Int8Record``.

    Raises:
        InputError: The full-precision network detects nothing.
    """
    conf = min(MAX_SCORE_THRESHOLD, card.conf / 2)
    full, quantized = (
        make_detector(card, weights, conf=conf, runtime="openvino", device="cpu", precision=name)
        for name in ("fp32", "int8")
    )

    def detect(tile: SampledTile) -> tuple[Detections, Detections]:
        pixels, valid = tile.read()
        return full(pixels[None], valid[None])[0], quantized(pixels[None], valid[None])[0]

    truth, boxes, scores = [], [], []
    with ThreadPoolExecutor(full.streams) as pool:
        for number, (expected, predicted) in enumerate(pool.map(detect, tiles)):
            expected = expected[expected.scores >= card.conf]
            truth.append(offset_boxes(expected.boxes, expected.labels, scene=number))
            boxes.append(offset_boxes(predicted.boxes, predicted.labels, scene=number))
            scores.append(predicted.scores)
            advance()
    objects = sum(map(len, truth))
    if not objects:
        raise InputError(
            f"model {card.name} finds nothing in {len(tiles):,} tiles at its threshold of "
            f"{card.conf:g}, so its int8-quantized network cannot be checked; give `rasters` that "
            f"show objects, or more `tiles`"
        )
    matches = match_boxes_at(
        np.concatenate(boxes), np.concatenate(scores), np.concatenate(truth), ious=IOUS
    )
    ap50, ap75 = map(average_precision, matches)
    return objects, round(ap50, 4), round(ap75, 4)
