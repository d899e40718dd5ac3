"""A network in 8 bit for a model file: calibrated on tiles of rasters, checked on others."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np

from geodetect.assessment.evaluate.metrics import average_precision
from geodetect.assessment.matching.greedy_matching import boxes_apart, match_boxes_at
from geodetect.detection.detections import Detections
from geodetect.detection.plan import RasterPlan, plan_rasters
from geodetect.detection.retinanet_detector import RetinaNetDetector
from geodetect.errors import InputError
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.model.card import Int8Record, ModelCard
from geodetect.model.file import Weights, check_target, read_model_file, write_model_file
from geodetect.model.runtimes.int8 import add_int8_network, drop_int8_network
from geodetect.model.runtimes.open import open_runtime
from geodetect.progress import Progress, no_progress
from geodetect.quantization.nncf import Image, import_nncf, quantize_network, versions
from geodetect.settings import PredictSettings, QuantizeSettings
from geodetect.types import PathLike

LEAST_CONF = 0.05
IOUS = (0.5, 0.75)
LEAST_IMAGERY = 0.5  # share of a tile: the rest of it is flat, which tells of no range

Tell = Callable[[], None]


@dataclass(frozen=True)
class Sample:
    """A tile that has not been read yet.

    Args:
        plan: How its raster is looked at.
        tile: In pixels of the working grid.
    """

    plan: RasterPlan
    tile: Tile

    def read(self) -> Image:
        """``uint8[C, H, W]`` and ``bool[H, W]``."""
        pixels = self.plan.raster.read(self.tile, self.plan.grid)
        return pixels.values, pixels.valid


@dataclass(frozen=True)
class Closeness:
    """How close two networks are, see ``Int8Record``.

    Args:
        objects: What the full network finds, the truth of the average precisions.
        ap50: Of the network in 8 bit, at an overlap (IoU) of 0.5.
        ap75: The same at 0.75.
    """

    objects: int
    ap50: float
    ap75: float


def quantize(
    model: PathLike,
    rasters: PathLike | Sequence[PathLike],
    output: str | os.PathLike[str],
    *,
    settings: QuantizeSettings | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> ModelCard:
    """Write a model file that holds the network in 8 bit too, for ``precision="int8"``.

    Args:
        model: Name of a built-in model or path of a model file.
        rasters: Files, folders of rasters or URLs: imagery like that to predict on, with objects.
        output: Model file to write, ``.safetensors``; with ``overwrite`` it may be ``model``.
        settings: See ``QuantizeSettings``.
        overwrite: Replace ``output`` if it exists.
        progress: Told of every tile.

    Returns:
        The card of the new file; ``int8`` states how close the two networks are.

    Raises:
        MissingDependencyError: NNCF is not installed.
        ModelFileError: There is no such model or its file is damaged.
        RasterError: A raster cannot be opened or read.
        InputError: The rasters show no objects, or the network in 8 bit is not close enough.
        OutputError: The model cannot be written.
    """
    settings, target = settings or QuantizeSettings(), Path(output)
    check_target(target, overwrite=overwrite)
    import_nncf()  # if it is missing, say so before any work
    card, arrays = read_model_file(model)
    weights = drop_int8_network(arrays)
    with ExitStack() as stack:
        plans = plan_rasters(rasters, card, _looking(settings))
        for one in plans:
            stack.enter_context(one.raster)
        samples = draw_samples(plans, settings.tiles, seed=settings.seed)
        calibration, check = samples[::2], samples[1::2] or samples
        tell = _teller(progress, len(calibration) + len(check))

        def read(sample: Sample) -> Image:
            tell()
            return sample.read()

        network = quantize_network(card, weights, calibration, read=read)
        both = add_int8_network(card, weights, network)
        closeness = compare_int8(card, both, check, tell=tell)
    _check_closeness(card, closeness, settings.least_ap)
    record = Int8Record(
        calibration_tiles=len(calibration),
        checked_tiles=len(check),
        made_with=versions(),
        **asdict(closeness),
    )
    new = card.model_copy(update={"int8": record})
    write_model_file(target, new, both)
    return new


def draw_samples(plans: Sequence[RasterPlan], count: int, *, seed: int) -> list[Sample]:
    """Tiles from all over the rasters, in random order, that are imagery for the most part.

    Args:
        plans: Rasters, open.
        count: How many; fewer if there are fewer.
        seed: Start of the randomness.

    Raises:
        InputError: There are none.
    """
    sizes = [len(one.tiles) for one in plans]
    first = np.cumsum([0, *sizes])
    chosen: list[Sample] = []
    for number in np.random.default_rng(seed).permutation(first[-1]):
        raster = int(np.searchsorted(first, number, side="right")) - 1
        one = plans[raster]
        tile = _tile(one.scheme, int(one.tiles[number - first[raster]]))
        if one.raster.read_valid(tile, one.grid).mean() >= LEAST_IMAGERY:
            chosen.append(Sample(one, tile))
        if len(chosen) == count:
            break
    if not chosen:
        raise InputError(
            f"{plans[0].raster.path}: no tile of it, or of other --rasters, is imagery for the "
            f"most part; calibrate on --rasters with more imagery"
        )
    return chosen


def compare_int8(
    card: ModelCard, weights: Weights, samples: Sequence[Sample], *, tell: Tell
) -> Closeness:
    """Look at tiles with both networks.

    Args:
        card: The model's card.
        weights: All arrays of its file.
        samples: The tiles.
        tell: Told of every tile.

    Raises:
        InputError: The full network finds nothing.
    """
    least = min(LEAST_CONF, card.conf / 2)
    full, small = (_detector(card, weights, name, conf=least) for name in ("fp32", "int8"))

    def look(sample: Sample) -> tuple[Detections, Detections]:
        pixels, valid = sample.read()
        return full(pixels[None], valid[None])[0], small(pixels[None], valid[None])[0]

    truth, boxes, scores = [], [], []
    with ThreadPoolExecutor(full.streams) as pool:
        for number, (wanted, found) in enumerate(pool.map(look, samples)):
            sure = wanted[wanted.scores >= card.conf]
            truth.append(boxes_apart(sure.boxes, sure.labels, scene=number))
            boxes.append(boxes_apart(found.boxes, found.labels, scene=number))
            scores.append(found.scores)
            tell()
    objects = sum(map(len, truth))
    if not objects:
        raise InputError(
            f"model {card.name} finds nothing in {len(samples):,} tiles at its threshold of "
            f"{card.conf:g}, so its network in 8 bit cannot be checked; give --rasters that show "
            f"objects, or more --tiles"
        )
    matches = match_boxes_at(
        np.concatenate(boxes), np.concatenate(scores), np.concatenate(truth), ious=IOUS
    )
    ap50, ap75 = map(average_precision, matches)
    return Closeness(objects, round(ap50, 4), round(ap75, 4))


def _teller(progress: Progress, total: int) -> Tell:
    """Tells of one tile after the other."""
    done = count(1)
    return lambda: progress(next(done), total)


def _check_closeness(card: ModelCard, closeness: Closeness, least_ap: float) -> None:
    if closeness.ap50 < least_ap:
        raise InputError(
            f"model {card.name}: in 8 bit its average precision against the full network is only "
            f"{closeness.ap50:.3f} ({closeness.objects:,} objects), expected at least "
            f"{least_ap:g}; calibrate on other --rasters or more --tiles, or accept it with "
            f"--least-ap"
        )


def _looking(settings: QuantizeSettings) -> PredictSettings:
    """How the rasters are looked at."""
    return PredictSettings(
        overlap=0,
        bands=settings.bands,
        value_range=settings.value_range,
        src_crs=settings.src_crs,
        aoi=settings.aoi,
    )


def _tile(scheme: TileScheme, index: int) -> Tile:
    row, column = divmod(index, len(scheme.columns))
    return next(islice(scheme.row(row), column, None))


def _detector(
    card: ModelCard, weights: Weights, precision: str, *, conf: float
) -> RetinaNetDetector:
    runtime = open_runtime(card, weights, runtime="openvino", precision=precision, device="cpu")
    return RetinaNetDetector(runtime, conf=conf)
