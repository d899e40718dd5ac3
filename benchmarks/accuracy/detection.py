"""How good the built-in model is: F1 at its own default threshold, and average precision.

    python -m benchmarks.accuracy.detection                 # the drawn sample, and the real grounds if there
    python -m benchmarks.accuracy.detection --data ../shared/data/pools --model my.safetensors
    python -m benchmarks.accuracy.detection --precision fp32 bf16 int8    # what fewer bits cost
    python -m benchmarks.accuracy.detection --iou 0.5    # boxes that overlap less are two objects
    python -m benchmarks.accuracy.detection --tile-size 512

Grounds: the drawn sample; the part of Cannes that the model was not trained on (columns from
17,000 on); California, which it never saw. Scores and boxes are matched one-to-one over a whole
ground, best score first.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from benchmarks.harness.tables import machine, save_table

import geodetect
from geodetect.assessment.evaluate.metrics import average_precision, precision_recall_curve
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.model.calibration import calibrated_score
from geodetect.model.file import load_card

ROOT = Path(__file__).parents[2]
LEAST_CONF = 0.05
HELD_OUT, CALIFORNIA = "Cannes, held out", "California"
AS_IT_COMES = geodetect.PredictSettings()
CANNES_HELD_OUT = (1_023_400.0, 6_281_825.6, 1_025_000.0, 6_285_000.0)  # columns 17,000 to 25,000
CANNES_LEARNED_FROM = (1_020_000.0, CANNES_HELD_OUT[1], CANNES_HELD_OUT[0], CANNES_HELD_OUT[3])


@dataclass(frozen=True)
class Place:
    """A raster with truth.

    Args:
        name: How it is called in the table.
        raster: File.
        truth: File of labelled polygons.
        bbox: Limits in the raster's CRS; None: all of it.
    """

    name: str
    raster: Path
    truth: Path
    bbox: tuple[float, float, float, float] | None = None


def places(data: Path) -> list[Place]:
    """The places that are there."""
    sample = ROOT / "sample_data/neighbourhood.tif"
    known = [
        Place("drawn sample", sample, sample.with_suffix(".geojson")),
        Place(
            HELD_OUT,
            data / "cannes_north.tif",
            data / "cannes_north.geojson",
            CANNES_HELD_OUT,
        ),
        Place(CALIFORNIA, data / "california_west.tif", data / "california_west.geojson"),
    ]
    return [place for place in known if place.raster.exists()]


def place_called(name: str, data: Path) -> Place:
    """The place of this name; without it, the program ends."""
    found = [place for place in places(data) if place.name == name]
    if not found:
        sys.exit(f"{name}: its imagery was not found in {data}; this benchmark needs it")
    return found[0]


def write_held_out(file: Path) -> Path:
    """Write the part of Cannes that no training may see, for ``--val-area``."""
    area = gpd.GeoDataFrame(geometry=[shapely.box(*CANNES_HELD_OUT)], crs="EPSG:2154")
    area.to_file(file)
    return file


def detect(
    place: Place,
    model: str | os.PathLike[str],
    settings: geodetect.PredictSettings = AS_IT_COMES,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """What a model finds in a place, scores far below its threshold included; and the truth."""
    least = calibrated_score(LEAST_CONF, load_card(model).calibration)
    settings = settings.model_copy(update={"conf": least, "bbox": place.bbox})
    found = geodetect.predict(place.raster, model, settings=settings)
    truth = gpd.read_file(place.truth).to_crs(found.crs)
    if place.bbox is not None:
        truth = truth[truth.centroid.within(shapely.box(*place.bbox))]
    return found, truth


def measure(
    place: Place,
    model: str,
    settings: geodetect.PredictSettings = AS_IT_COMES,
    *,
    conf: float,
) -> dict[str, str]:
    """One row of the table."""
    start = time.perf_counter()
    found, truth = detect(place, model, settings)
    seconds = time.perf_counter() - start
    boxes, scores = found.bounds.to_numpy(), found["score"].to_numpy(np.float32)
    row = {"ground": place.name, "precision": settings.precision, "objects": f"{len(truth)}"}
    for overlap in (0.5, 0.3):
        matches = match_boxes(boxes, scores, truth.bounds.to_numpy(), iou=overlap)
        at_default = precision_recall_curve(matches).at(conf)
        best = precision_recall_curve(matches).best_f1()
        row |= {
            f"AP@{overlap}": f"{average_precision(matches):.3f}",
            f"F1@{overlap}": f"{at_default.f1:.3f}",
            f"P@{overlap}": f"{at_default.precision:.3f}",
            f"R@{overlap}": f"{at_default.recall:.3f}",
            f"best F1@{overlap}": f"{best.f1:.3f} (conf {best.score_threshold:.2f})",
        }
    return row | {"seconds": f"{seconds:.0f}"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--conf", type=float, help="default: the model's own")
    parser.add_argument("--iou", type=float, help="of duplicates; default: the model's own")
    parser.add_argument("--tile-size", type=int, help="in pixels; default: what fits the area")
    parser.add_argument("--precision", nargs="+", default=["auto"], help="of the network")
    options = parser.parse_args()
    conf = load_card(options.model).conf if options.conf is None else options.conf
    asked = geodetect.PredictSettings(iou=options.iou, tile_size=options.tile_size)
    rows = [
        measure(place, options.model, asked.model_copy(update={"precision": name}), conf=conf)
        for place in places(options.data)
        for name in options.precision
    ]
    title = f"Accuracy of {Path(options.model).name} at conf {conf:g} on {machine()}"
    save_table("accuracy", title, rows)


if __name__ == "__main__":
    main()
