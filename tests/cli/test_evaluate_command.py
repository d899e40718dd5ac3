"""``geodetect evaluate`` as a user runs it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from click.testing import Result

import geodetect
from geodetect.assessment.evaluate.error_layers import SYMBOLS
from geodetect.errors import InputError
from geodetect.io.vector.read import PREDICTIONS, read_layer
from geodetect.io.vector.write import write
from geodetect.settings import PredictSettings
from geodetect_cli.tables.evaluation import show
from tests.helpers.layers import square_layer
from tests.helpers.program import check_failure, invoke, modules_after
from tests.helpers.square_scenes import CRS, grid_corners, squares_image, write_labels, write_raster
from tests.helpers.tiny_model import save_tiny_model

FAILURE, USAGE = 1, 2


@dataclass(frozen=True)
class LayerFolder:
    """A folder with detections and truth."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def run(self, *arguments: str | Path, layer: str = "found.geojson") -> Result:
        command = ["evaluate", self.path(layer), self.path("truth.gpkg"), *arguments]
        return invoke(*command)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> LayerFolder:
    """100 pools and 50 tanks, most of them found, the pools better than the tanks."""
    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    corners = np.stack(np.divmod(np.arange(200), 20), axis=1) * 40.0
    names = np.array(["pool"] * 100 + ["tank"] * 50 + ["pool"] * 50)
    write(square_layer(*corners[:150], side_m=8, **{"class": names[:150]}), folder / "truth.gpkg")
    chosen = rng.random(200) < np.repeat([0.9, 0.6, 0.3], [100, 50, 50])
    scores = np.where(np.arange(200) < 150, rng.beta(5, 2, 200), rng.beta(2, 5, 200)).round(3)
    predictions = square_layer(
        *(corners + rng.normal(0, 0.6, (200, 2))), side_m=8, score=scores, **{"class": names}
    )
    write(predictions[chosen], folder / "found.geojson")
    write(predictions[chosen].drop(columns="score"), folder / "unscored.gpkg")
    return LayerFolder(folder)


def test_the_tables_show_all_classes_in_80_columns(inputs: LayerFolder) -> None:
    result = inputs.run("--pick-threshold", "f1")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("150 objects, ")
    tables, _, remarks = result.stdout.partition("\nThreshold: ")
    assert max(map(len, tables.splitlines())) <= 80
    for title in ("Average precision", "Counts", "Recall by size"):
        assert title in tables
    assert tables.count("pool") >= 2
    assert tables.count("tank") >= 2
    assert "mean" in tables
    assert remarks.startswith("--conf 0.")
    assert "Matches: IoU 0.5 or more" in remarks
    assert "for f1: precision" in remarks
    assert "draws of" in remarks
    assert re.search(r"blocks of ground of \d+\s+m\b", remarks)


def test_blocks_of_layers_without_a_crs_are_in_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    corners = np.stack(np.divmod(np.arange(20), 5), axis=1) * 40.0
    layer = square_layer(*corners, side_m=8, crs=None)
    show(geodetect.evaluate(layer, layer), errors=None, plots=None, as_json=False, quiet=False)
    assert re.search(r"blocks of ground of \d+\s+pixels", capsys.readouterr().out)


def test_the_summary_is_json_with_the_same_figures(inputs: LayerFolder) -> None:
    result = inputs.run("--json", "--conf", "0.4", "--resamples", "50", "--seed", "3")
    values = json.loads(result.stdout)
    assert values["score_threshold"] == 0.4
    assert [row["class"] for row in values["metrics_by_class"]] == ["pool", "tank"]
    overall = values["overall"]
    assert overall["ap50"] == pytest.approx(
        np.mean([row["ap50"] for row in values["metrics_by_class"]])
    )
    point = overall["at_threshold"]
    assert point["tp"] + point["fn"] == values["truth"] == 150
    assert values["intervals"] | {"blocks": 0, "block_m": 0} == {
        "level": 0.95, "blocks": 0, "block_m": 0, "resamples": 50, "seed": 3
    }  # fmt: skip
    assert json.loads(inputs.run("--json", "--conf", "0.4", "--seed", "3").stdout)["truth"] == 150


def test_layers_and_plots_are_written(inputs: LayerFolder, tmp_path: Path) -> None:
    errors, plots = tmp_path / "errors.gpkg", tmp_path / "plots"
    result = inputs.run("-o", errors, "--plots", plots, "--ignore-classes", "--conf", "0.5")
    assert result.exit_code == 0, result.output
    assert f"true_positives, false_positives and false_negatives in {errors}" in result.stdout
    assert {path.name for path in plots.iterdir()} == {"precision-recall-all.png", "f1-all.png"}
    point = json.loads(inputs.run("--ignore-classes", "--conf", "0.5", "--json").stdout)["overall"]
    counts = [len(gpd.read_file(errors, layer=name)) for name in SYMBOLS]
    assert counts == [point["at_threshold"][name] for name in ("tp", "fp", "fn")]


def test_nothing_is_replaced_without_being_asked(inputs: LayerFolder, tmp_path: Path) -> None:
    errors = tmp_path / "errors.gpkg"
    errors.write_text("mine")
    check_failure(inputs.run("-o", errors), "already exists", "--overwrite")
    assert errors.read_text() == "mine"
    assert inputs.run("-o", errors, "--overwrite", "-q").exit_code == 0
    assert len(gpd.read_file(errors, layer="true_positives")) > 0


def test_quiet_says_nothing(inputs: LayerFolder) -> None:
    result = inputs.run("-q")
    assert (result.exit_code, result.output) == (0, "")


def test_detections_without_scores_are_said_to_be_equally_sure(inputs: LayerFolder) -> None:
    result = inputs.run(layer="unscored.gpkg")
    assert result.exit_code == 0
    assert "Note: the predictions have no scores" in result.stdout
    assert "best F1" not in result.stdout
    check_failure(inputs.run("--pick-threshold", "f1", layer="unscored.gpkg"), "--score-field")


def test_points_are_matched_by_distance(inputs: LayerFolder, tmp_path: Path) -> None:
    truth = gpd.read_file(inputs.path("truth.gpkg"))
    path = write(truth.set_geometry(truth.centroid), tmp_path / "points.geojson")
    check_failure(invoke("evaluate", inputs.path("found.geojson"), path), "--distance")
    result = invoke("evaluate", inputs.path("found.geojson"), path, "--distance", "3")
    assert result.exit_code == 0, result.output
    assert "Matches: centres within 3 m" in result.stdout
    assert "AP 3 m" in result.stdout
    assert "AP50" not in result.stdout


def test_a_model_is_run_and_measured(tmp_path: Path) -> None:
    corners = grid_corners(200)
    raster = write_raster(tmp_path / "scene.tif", squares_image(200, corners))
    boxes = [(x, y, x + 16, y + 16) for x, y in corners[1:]]
    labels = write_labels(tmp_path / "labels.geojson", boxes)
    model = save_tiny_model(tmp_path / "squares.safetensors")
    run = ["evaluate", "--model", model, "--rasters", raster, "--truth", labels, "--json"]
    result = invoke(*run, "--device", "cpu")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    point = values["overall"]["at_threshold"]
    assert values["score_threshold"] == 0.5  # the model's own
    assert (point["tp"], point["fp"], point["fn"]) == (len(boxes), 1, 0)
    assert not any("lower bound" in text for text in values["warnings"])
    assert json.loads(invoke(*run, "--conf", "0.3").stdout)["score_threshold"] == 0.3


def test_predictions_cut_at_a_threshold_are_told_with_the_options_for_all(
    inputs: LayerFolder, tmp_path: Path
) -> None:
    scored = read_layer(inputs.path("found.geojson"), PREDICTIONS)
    write(scored[scored["score"] >= 0.41], tmp_path / "cut.geojson")
    truth = inputs.path("truth.gpkg")
    shown = invoke("evaluate", tmp_path / "cut.geojson", truth, "--resamples", 0)
    assert "Note: the lowest score is 0.41" in " ".join(shown.stdout.split())
    values = json.loads(invoke("evaluate", tmp_path / "cut.geojson", truth, "--json").stdout)
    (warning,) = [text for text in values["warnings"] if "lower bound" in text]
    assert "predict with --conf 0.05, or evaluate the --model" in warning


def test_a_model_is_run_with_the_options_of_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodetect.assessment.evaluate import evaluation

    settings: list[PredictSettings] = []

    def stop(*_: object, predict_settings: PredictSettings, **__: object) -> None:
        settings.append(predict_settings)
        raise InputError("stopped")

    monkeypatch.setattr(evaluation, "evaluate_model", stop)
    run = ["evaluate", "--model", "pools", "--rasters", "a.tif", "--truth", "a.gpkg"]
    options = [
        "--runtime",
        "torch",
        "--precision",
        "fp32",
        "--tile-size",
        "512",
        "--overlap",
        "20%",
    ]
    result = invoke(*run, *options, "--iou", "0.3", "--conf", "0.5")
    assert result.stderr == "Error: stopped\n"
    assert settings == [
        PredictSettings(runtime="torch", precision="fp32", tile_size=512, overlap=0.2)
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["found.geojson"],
        ["--model", "pools"],
        ["--model", "pools", "--rasters", "a.tif"],
        ["--model", "pools", "--truth", "a.gpkg"],
        ["found.geojson", "truth.gpkg", "--model", "pools"],
        ["found.geojson", "truth.gpkg", "--rasters", "a.tif"],
        ["found.geojson", "truth.gpkg", "--iou", "0"],
        ["found.geojson", "truth.gpkg", "--iou", "nan"],
        ["found.geojson", "truth.gpkg", "--distance", "-1"],
        ["found.geojson", "truth.gpkg", "--conf", "nan"],
        ["found.geojson", "truth.gpkg", "--pick-threshold", "best"],
        ["found.geojson", "truth.gpkg", "--pick-threshold", "precision=95"],
        ["found.geojson", "truth.gpkg", "--size-bins", "8,4"],
        ["found.geojson", "truth.gpkg", "--size-bins", "small"],
        ["found.geojson", "truth.gpkg", "--block-size", "0"],
        ["found.geojson", "truth.gpkg", "--resamples", "-1"],
    ],
)
def test_a_usage_error_has_exit_code_2_and_one_line(arguments: list[str]) -> None:
    result = invoke("evaluate", *arguments)
    assert result.exit_code == USAGE, result.output
    assert result.stdout == ""
    assert result.stderr.strip().splitlines()[-1].startswith("Error: ")


def test_files_that_cannot_be_read_are_one_line(inputs: LayerFolder, tmp_path: Path) -> None:
    check_failure(inputs.run(layer="no.gpkg"), "no.gpkg does not exist")
    broken = tmp_path / "broken.geojson"
    broken.write_text("not a layer")
    check_failure(invoke("evaluate", broken, inputs.path("truth.gpkg")), "broken.geojson cannot be")
    check_failure(invoke("evaluate", inputs.path("found.geojson"), broken), "cannot be read")
    empty = tmp_path / "empty.gpkg"
    empty.write_bytes(b"")
    check_failure(invoke("evaluate", empty, inputs.path("truth.gpkg")), "empty.gpkg cannot be")


def test_a_layer_without_crs_names_the_option(inputs: LayerFolder, tmp_path: Path) -> None:
    truth = gpd.read_file(inputs.path("truth.gpkg")).set_crs(None, allow_override=True)
    path = write(truth, tmp_path / "truth.shp")
    predictions = inputs.path("found.geojson")
    check_failure(invoke("evaluate", predictions, path), "--truth-crs")
    check_failure(invoke("evaluate", path, inputs.path("truth.gpkg")), "--pred-crs")
    assert invoke("evaluate", predictions, path, "--truth-crs", CRS, "-q").exit_code == 0
    check_failure(
        invoke("evaluate", predictions, path, "--truth-crs", "here"), "--truth-crs: 'here'"
    )


def test_truth_that_lies_elsewhere_is_one_line_with_the_distance(
    inputs: LayerFolder, tmp_path: Path
) -> None:
    path = write(gpd.read_file(inputs.path("truth.gpkg")).to_crs("EPSG:32632").assign(
        geometry=lambda t: t.translate(2e5, 0)), tmp_path / "far.gpkg")  # fmt: skip
    check_failure(invoke("evaluate", inputs.path("found.geojson"), path), "km apart", "--truth-crs")


def test_empty_layers_are_no_failure(inputs: LayerFolder, tmp_path: Path) -> None:
    nothing = write(gpd.read_file(inputs.path("truth.gpkg")).iloc[:0], tmp_path / "none.gpkg")
    for pair in ((nothing, inputs.path("truth.gpkg")), (inputs.path("found.geojson"), nothing)):
        result = invoke("evaluate", *pair, "-o", tmp_path / "e.gpkg", "--overwrite")
        assert result.exit_code == 0, result.output
        assert "Note: there are no" in result.stdout


def test_comparing_layers_loads_no_network_library(inputs: LayerFolder) -> None:
    arguments = [
        "evaluate",
        str(inputs.path("found.geojson")),
        str(inputs.path("truth.gpkg")),
        "-q",
    ]
    loaded = modules_after(
        f"from geodetect_cli.app import app\ntry:\n    app({arguments!r})\n"
        "except SystemExit:\n    pass"
    )
    assert "geodetect.assessment.evaluate.evaluation" in loaded
    assert not loaded & {"torch", "torchvision", "matplotlib", "openvino"}


def test_outlines_are_measured_in_80_columns_and_never_with_a_distance(
    inputs: LayerFolder, tmp_path: Path
) -> None:
    truth = gpd.read_file(inputs.path("truth.gpkg"))
    discs = truth.assign(geometry=truth.geometry.centroid.buffer(4))
    area = discs.geometry.area
    found = discs.assign(
        geometry=discs.geometry.buffer(0.2),
        score=0.9,
        area_low_m2=area * 0.95,
        area_high_m2=area * 1.2,
    )
    paths = tmp_path / "found.gpkg", tmp_path / "truth.gpkg"
    write(found, paths[0])
    write(discs, paths[1])
    result = invoke("evaluate", *paths, "--match", "outline")
    assert result.exit_code == 0, result.output
    tables, _, remarks = result.stdout.partition("\nMatches: ")
    assert max(map(len, tables.splitlines())) <= 80
    assert "Outlines and areas of true positives" in tables
    assert "Average precision of outlines" in tables
    assert remarks.startswith("IoU 0.5 or more of outlines")
    assert "150 true positives together have 1.10" in remarks
    values = json.loads(invoke("evaluate", *paths, "--match", "outline", "--json").stdout)
    outlines = values["overall"]["outline_errors"]
    assert (outlines["pairs"], outlines["interval_coverage"]) == (150, 1.0)
    assert outlines["area_ratio"] == pytest.approx(1.1025, abs=1e-3)
    assert values["area_error"]["bias"] == pytest.approx(1 / 1.1025, abs=1e-3)
    failure = invoke("evaluate", *paths, "--match", "outline", "--distance", "3")
    check_failure(failure, "--distance 3 matches centres", "--match outline")
