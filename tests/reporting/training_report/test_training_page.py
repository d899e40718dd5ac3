"""The page of a training shows the files of a run folder and names those that are missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from PIL import Image

from geodetect.errors import InputError, ModelFileError, OutputError
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.qgis_style import FALSE_NEGATIVE, FALSE_POSITIVE
from geodetect.model.card import Calibration, ModelCard, TrainingRecord
from geodetect.model.file import write_model_file
from geodetect.reporting.training_report.page import write_training_page
from geodetect.reporting.training_report.run import find_model, read_run
from geodetect.reporting.training_report.worst_errors import (
    draw_worst_errors,
    worst_false_negatives,
    worst_false_positives,
)
from tests.helpers.layers import box_layer
from tests.helpers.square_scenes import grid_corners, square_boxes, squares_image, write_raster

SIDE = 320
CORNERS = grid_corners(SIDE)
GRID = Grid(parse_crs("EPSG:32632"), Affine(0.25, 0, 5e5, 0, -0.25, 5.2e6), SIDE, SIDE)
HOSTILE = "</style><script>alert(1)</script>"
PLOTS = {"loss.png", "validation.png", "precision-recall.png", "f1.png", "reliability.png"}
SHEETS = {"false-negatives.png", "false-positives.png"}
CARD = ModelCard(
    name="pools",
    description=HOSTILE,
    classes=("pool",),
    gsd_m=0.25,
    conf=0.4,
    calibration=Calibration(slope=(2.0,), intercept=(-0.5,)),
    training=TrainingRecord(objects=321, steps=600, data=("a drawing",), settings={"seed": 7}),
    metrics={"objects": 36, "ap50": 0.912, "f1": 0.876, "ece": 0.031},
)


def square_detections(raster: Path, count: int = len(CORNERS)) -> gpd.GeoDataFrame:
    """On every square, in descending order of scores; every fifth is a false positive."""
    scores = np.linspace(0.98, 0.1, len(CORNERS)).round(3)[:count]
    return box_layer(
        square_boxes(CORNERS[:count]),
        GRID,
        **{"class": ["pool"] * count, "score": scores, "raw_score": scores / 2},
        tp=np.arange(count) % 5 != 0,
        raster=[raster.name] * count,
        source=[str(raster)] * count,
    )


def truth(raster: Path) -> gpd.GeoDataFrame:
    """Objects of the true positives, and two without a detection, one of them larger."""
    positives = square_detections(raster).query("tp")
    missed = [positives.geometry.iloc[i].buffer(grow) for i, grow in ((3, 0.5), (4, 2))]
    return gpd.GeoDataFrame(
        {
            "class": ["pool"] * (len(positives) + 2),
            "matched_score": [*positives["score"], np.nan, np.nan],
            "raster": [raster.name] * (len(positives) + 2),
            "source": [str(raster)] * (len(positives) + 2),
        },
        geometry=[*positives.geometry, *missed],
        crs=positives.crs,
    )


def write_history(path: Path) -> None:
    names = "step,seconds,lr,loss,class_loss,box_loss,chips_per_s,val_ap50,val_f1"
    rows = [
        f"{step},{step * 2.0},{1e-3 / step},{1 / step},{0.4 / step},{0.6 / step},11.5,"
        + (f"{0.9 - 1 / step},{0.85 - 1 / step}" if step % 100 == 0 else ",")
        for step in range(10, 601, 10)
    ]
    path.write_text("\n".join([names, *rows]) + "\n")


def write_validation(folder: Path, raster: Path, *, count: int = len(CORNERS)) -> None:
    layers = [Layer("detections", square_detections(raster, count)), Layer("truth", truth(raster))]
    write_layers(layers, folder / "validation.gpkg", overwrite=True)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with everything in it, and its page."""
    folder = tmp_path_factory.mktemp("runs") / "pools_run"
    folder.mkdir()
    raster = write_raster(folder.parent / "scene.tif", squares_image(SIDE, CORNERS))
    write_validation(folder, raster)
    write_history(folder / "metrics.csv")
    columns = {"raster": ["scene.tif"] * 2, "role": ["train", "validation"]}
    columns |= {"area_m2": [2e6, 1e6], "objects": [300, 36]}
    split = box_layer(square_boxes([(0, 0), (64, 0)]), GRID, **columns)
    split.to_crs("EPSG:4326").to_file(folder / "split.geojson")
    labels = {
        "rasters": 1, "labels": 40, "labels_on_imagery": 38, "area_km2": 3.2,
        "findings": [{"severity": "warning", "topic": "shift", "text": "labels lie 2 m east"}],
        "sizes": [{"class": "pool", "labels": 38, "width_m": [3, 4, 5], "length_m": [4, 6, 9],
                   "width_px": [12, 16, 20], "length_px": [16, 24, 36]}],
        "anchor_recall": [{"low_px": 12, "high_px": 16, "labels": 30, "recall": 0.987},
                   {"low_px": 0, "high_px": None, "labels": 38, "recall": 0.99}],
    }  # fmt: skip
    (folder / "labels.json").write_text(json.dumps(labels))
    write_model_file(folder.parent / "pools.safetensors", CARD, {"w": np.zeros(1, np.float16)})
    write_training_page(folder)
    return folder


@pytest.fixture
def run_copy(full: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(full, tmp_path / "pools_run")
    shutil.copy(full.parent / "pools.safetensors", tmp_path)
    return tmp_path / "pools_run"


class Reader(HTMLParser):
    """Text, elements and images of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def rewrite_page(run: Path) -> str:
    """Texts of the page after a new call."""
    return Reader(write_training_page(run, overwrite=True)).text


def test_the_page_shows_card_figures_labels_and_split(full: Path) -> None:
    text = Reader(full / "index.html").text
    for expected in (
        "Training of pools", "0.912", "0.876", "0.031", "321", "600", "20 min",
        "sigmoid(2 * logit -0.5)", "a drawing", "seed", "38 of 40 labels lie on the imagery of 1",
        "Shift: labels lie 2 m east", "3 / 4 / 5", "0.987", "2.000", "validation",
    ):  # fmt: skip
        assert expected in text, expected


def test_the_page_holds_all_its_images_and_no_script(full: Path) -> None:
    page = Reader(full / "index.html")
    assert all(source.startswith("data:") for source in page.sources)
    assert sum(source.startswith("data:image/png") for source in page.sources) == len(PLOTS)
    assert sum(source.startswith("data:image/webp") for source in page.sources) > 8
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert not re.findall(r"https?://", (full / "index.html").read_text(encoding="utf-8"))


def test_plots_and_contact_sheets_lie_beside_the_page(full: Path) -> None:
    assert {path.name for path in full.glob("*.png")} == PLOTS | SHEETS
    for name in PLOTS | SHEETS:
        with Image.open(full / name) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 20


def test_counts_are_those_at_the_threshold_of_the_card(full: Path) -> None:
    run = read_run(full)
    assert run.detections is not None
    is_above = run.detections["score"] >= 0.4
    right = int((is_above & run.detections["tp"]).sum())
    (figures,) = run.class_metrics()
    assert (figures.at_threshold.tp, figures.at_threshold.score_threshold) == (
        right,
        0.4,
    )
    text = Reader(full / "index.html").text
    assert f"{right} of {figures.n_truth} objects are found, with {is_above.sum() - right}" in text


def test_without_a_validation_the_page_says_that_nothing_was_measured(run_copy: Path) -> None:
    (run_copy / "validation.gpkg").unlink()
    text = rewrite_page(run_copy)
    assert "no area with objects was held out" in text
    assert "Misses (false negatives)" not in text
    assert "Training curves" in text


def test_an_empty_folder_still_makes_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    text = rewrite_page(folder)
    assert "Training of empty" in text
    for missing in ("metrics.csv", "validation.gpkg", "labels.json", "split.geojson", "no model"):
        assert missing in text
    assert [path.name for path in folder.iterdir()] == ["index.html"]


def test_without_a_card_the_threshold_is_that_of_the_highest_f1(run_copy: Path) -> None:
    (run_copy.parent / "pools.safetensors").unlink()
    run_without_card = read_run(run_copy)
    (figures,) = run_without_card.class_metrics()
    assert run_without_card.score_threshold == figures.best_f1.score_threshold
    assert f"{figures.best_f1.f1:.3f}" in rewrite_page(run_copy)


def test_missing_rasters_are_named_and_do_no_harm(run_copy: Path) -> None:
    write_validation(run_copy, run_copy.parent / "gone.tif")
    text = rewrite_page(run_copy)
    assert "gone.tif cannot be shown" in text
    assert "shown: 0" in text


def test_a_validation_without_detections_has_misses_only(run_copy: Path, full: Path) -> None:
    write_validation(run_copy, full.parent / "scene.tif", count=0)
    text = rewrite_page(run_copy)
    assert "no prediction" in text
    assert "False positives None." in " ".join(text.split())


def test_several_classes_have_a_row_each(run_copy: Path, full: Path) -> None:
    raster = full.parent / "scene.tif"
    names = np.where(np.arange(len(CORNERS)) % 2, "pool", "tank")
    two_classes = square_detections(raster).assign(**{"class": names})
    layers = [Layer("detections", two_classes), Layer("truth", truth(raster))]
    write_layers(layers, run_copy / "validation.gpkg", overwrite=True)
    figures = read_run(run_copy).class_metrics()
    assert [metrics.class_name for metrics in figures] == ["pool", "tank", "all classes"]
    assert figures[2].n_predicted == figures[0].n_predicted + figures[1].n_predicted
    assert "score 0.980   tank" in rewrite_page(run_copy)


def test_a_page_is_replaced_only_on_request(run_copy: Path) -> None:
    before = (run_copy / "index.html").read_bytes()
    with pytest.raises(OutputError, match="already exists"):
        write_training_page(run_copy)
    assert (run_copy / "index.html").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.csv", "", "metrics.csv is not a table"),
        ("metrics.csv", "loss,lr\n1,2\n", "no column 'step'"),
        ("labels.json", "{", "labels.json is no JSON"),
        ("labels.json", "[]", "no report of a label check"),
        ("split.geojson", "{}", "split.geojson"),
        ("validation.gpkg", "nothing", "validation.gpkg"),
    ],
)
def test_a_damaged_file_is_named(run_copy: Path, name: str, content: str, message: str) -> None:
    (run_copy / name).write_text(content)
    with pytest.raises(InputError, match=message):
        write_training_page(run_copy, overwrite=True)


def test_no_folder_and_no_model_are_errors(run_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run folder of a training"):
        write_training_page(tmp_path / "none")
    with pytest.raises(ModelFileError, match="no model"):
        write_training_page(run_copy, model=tmp_path / "none.safetensors", overwrite=True)


def test_the_model_of_a_folder_is_in_it_or_has_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "pools_run"
    folder.mkdir()
    for name in ("pool", "pools", "pools_b"):
        (tmp_path / f"{name}.safetensors").touch()
    assert find_model(folder) == tmp_path / "pools.safetensors"
    (folder / "last.safetensors").touch()
    assert find_model(folder) == folder / "last.safetensors"
    (folder / "best.safetensors").touch()
    (folder / "last.safetensors").touch()
    assert find_model(folder) == folder / "best.safetensors"


def test_the_worst_misses_are_those_without_any_prediction_the_largest_first(full: Path) -> None:
    objects = truth(full.parent / "scene.tif")
    rows = worst_false_negatives(objects, 0.4)
    assert rows[:2].tolist() == [len(objects) - 1, len(objects) - 2]
    scores = objects["matched_score"].to_numpy()[rows[2:]]
    assert (np.diff(scores) >= 0).all()
    assert (scores < 0.4).all()
    assert len(rows) == 2 + (objects["matched_score"] < 0.4).sum()


def test_the_worst_false_positives_have_the_highest_scores(full: Path) -> None:
    table = square_detections(full.parent / "scene.tif")
    scores = table["score"].to_numpy()[worst_false_positives(table, 0.4)]
    assert scores.tolist() == sorted(scores, reverse=True)
    assert len(scores) == ((table["score"] >= 0.4) & ~table["tp"]).sum() > 2


def test_thumbnails_show_their_object_in_the_colour_of_its_error(full: Path) -> None:
    raster = full.parent / "scene.tif"
    negatives, positives = draw_worst_errors(
        square_detections(raster), truth(raster), score_threshold=0.4, count=3
    )
    assert (len(negatives.thumbnails), len(positives.thumbnails)) == (3, 3)
    for kind, colour in (
        (negatives, FALSE_NEGATIVE),
        (positives, FALSE_POSITIVE),
    ):
        for image, _ in kind.thumbnails:
            pixels = np.asarray(image)
            assert (pixels == colour).all(axis=2).any()
    assert [caption for _, caption in negatives.thumbnails[:2]] == [
        "no prediction",
        "no prediction",
    ]
    assert positives.thumbnails[0][1] == "score 0.980"
