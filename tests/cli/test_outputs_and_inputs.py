"""No output replaces an input: whatever the command, the input, and the name it goes by."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pytest

from geodetect.assessment.compare.comparison import compare
from geodetect.assessment.evaluate.evaluation import evaluate
from geodetect.assessment.summarize.zones import summarize
from geodetect.detection.predict_to_file import predict_to_file
from geodetect.errors import OutputError
from geodetect.settings import PredictSettings
from tests.helpers.predict_command import write_inputs
from tests.helpers.program import check_failure, check_one_line, invoke
from tests.helpers.square_scenes import squares_image, write_raster

MARK = b"input"


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    layer = gpd.read_file(folder / "layer.geojson").assign(score=0.9)
    layer.to_file(folder / "layer.gpkg")
    (folder / "settings.toml").write_text("conf = 0.5\n")
    return folder


@pytest.fixture
def folder(originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "work"
    shutil.copytree(originals, copy)
    monkeypatch.chdir(copy)
    return copy


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


PREDICT = "predict scene.tif -m squares.safetensors --overwrite"
TRAIN = "train --rasters scene.tif --labels layer.geojson --overwrite --steps 1"


@pytest.mark.parametrize(
    "command",
    [
        f"{PREDICT} --aoi layer.gpkg -o layer.gpkg",
        f"{PREDICT} --aoi layer.gpkg -o out.geojson --coverage layer.gpkg",
        f"{PREDICT} -o scene.tif --format geojson",
        f"{PREDICT} -o squares.safetensors --format gpkg",
        f"{PREDICT} -o settings.toml --format csv --config settings.toml",
        "compare layer.gpkg --register layer.geojson -o layer.gpkg --overwrite",
        "compare layer.gpkg --register layer.geojson -o layer.geojson --overwrite",
        "compare layer.gpkg layer.geojson -o layer.geojson --overwrite",
        "compare layer.gpkg --before layer.geojson -o layer.geojson --overwrite",
        "summarize layer.gpkg --zones layer.geojson -o layer.geojson --overwrite",
        "summarize layer.gpkg --zones layer.geojson -o layer.gpkg --overwrite",
        "evaluate layer.gpkg layer.geojson -o layer.gpkg --overwrite",
        "evaluate layer.geojson layer.geojson --aoi layer.gpkg -o layer.gpkg --overwrite",
        "check --rasters scene.tif --labels layer.geojson -o layer.geojson --overwrite",
        "tile scene.tif --labels layer.geojson -o . --overwrite",
        "report layer.gpkg --truth layer.geojson -o layer.html --overwrite --config layer.html",
        f"{TRAIN} --init squares.safetensors -o squares.safetensors",
        f"{TRAIN} -o new.safetensors --run-dir .",
        "convert squares.safetensors -o squares.safetensors --overwrite",
    ],
)
def test_an_output_that_is_an_input_is_refused(folder: Path, command: str) -> None:
    (folder / "layer.html").write_text("title = 'x'\n")
    before = contents(folder)
    check_failure(invoke(*command.split()), " input")
    assert contents(folder) == before


def link_symbolically(folder: Path) -> str:
    (folder / "link.gpkg").symlink_to("layer.gpkg")
    return "link.gpkg"


def link_hard(folder: Path) -> str:
    (folder / "link.gpkg").hardlink_to(folder / "layer.gpkg")
    return "link.gpkg"


def link_parent(folder: Path) -> str:
    (folder.parent / "other").symlink_to(folder)
    return "../other/layer.gpkg"


def spell_with_dots(folder: Path) -> str:
    return f"../{folder.name}/./layer.gpkg"


@pytest.mark.parametrize("spell", [link_symbolically, link_hard, link_parent, spell_with_dots])
def test_an_input_under_another_name_is_refused(folder: Path, spell: Callable[[Path], str]) -> None:
    name = spell(folder)
    before = contents(folder)
    for pair in ((name, "layer.gpkg"), ("layer.gpkg", name)):
        command = ["compare", pair[0], "--register", "layer.geojson", "-o", pair[1], "--overwrite"]
        check_failure(invoke(*command), " input")
    assert contents(folder) == before


def test_inputs_in_the_words_of_gdal_and_qgis_are_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "layers.gpkg", "w") as archive:
        archive.write(folder / "layer.geojson", "layer.geojson")
    for source, file in (
        ("layer.gpkg|layername=layer", "layer.gpkg"),
        (f"file://{folder / 'layer.gpkg'}", "layer.gpkg"),
        ("/vsizip/layers.gpkg/layer.geojson", "layers.gpkg"),
        (f"/vsizip/{folder / 'layers.gpkg'}/layer.geojson", "layers.gpkg"),
        ("zip://layers.gpkg!layer.geojson", "layers.gpkg"),
        ("GPKG:layer.gpkg:layer", "layer.gpkg"),
    ):
        before = contents(folder)
        command = ["summarize", "layer.geojson", "--zones", source, "-o", file, "--overwrite"]
        check_failure(invoke(*command), file, "input")
        assert contents(folder) == before


def test_files_that_belong_to_an_input_are_refused(folder: Path) -> None:
    write_raster(folder / "part.png", squares_image(100, []))
    (folder / "mosaic.vrt").write_text(
        '<VRTDataset><SourceFilename relativeToVRT="1">part.png</SourceFilename></VRTDataset>'
    )
    (folder / "scene.tif.msk").write_bytes(MARK)
    (folder / "scene.tfw").write_bytes(MARK)
    before = contents(folder)
    check_failure(invoke("preview", "mosaic.vrt", "-o", "part.png", "--overwrite"), "mosaic.vrt")
    for name in ("scene.tif.msk", "scene.tfw"):
        command = [*PREDICT.split(), "-o", name, "--format", "csv"]
        check_failure(invoke(*command), name, "belongs to the input scene.tif")
    assert contents(folder) == before


def test_outputs_in_a_folder_of_labels_would_be_labels_next_time(folder: Path) -> None:
    (folder / "labels").mkdir()
    shutil.move(folder / "layer.geojson", folder / "labels" / "layer.geojson")
    check = ["check", "--rasters", "scene.tif", "--labels", "labels"]
    check_failure(invoke(*check, "-o", "labels/problems.gpkg"), "read its own output")
    check_failure(invoke("tile", "scene.tif", "--labels", "labels", "-o", "labels/chips"), "labels")
    assert [path.name for path in (folder / "labels").iterdir()] == ["layer.geojson"]


def test_an_output_beside_the_rasters_of_a_folder_is_replaced_by_the_next_run(folder: Path) -> None:
    for _ in range(2):
        command = ["predict", ".", "-m", "squares.safetensors", "-o", "out.geojson", "--overwrite"]
        assert invoke(*command).exit_code == 0


def test_two_outputs_of_a_command_are_never_the_same(folder: Path) -> None:
    before = contents(folder)
    (folder / "new.geojson").symlink_to("other.geojson")
    for command in (
        "evaluate layer.gpkg layer.geojson -o new.gpkg --plots ./new.gpkg",
        "train --rasters scene.tif --labels layer.geojson -o a.safetensors --run-dir a.safetensors",
        "predict scene.tif -m squares.safetensors -o new.geojson --coverage other.geojson",
    ):
        result = invoke(*command.split())
        assert result.exit_code in (1, 2)
        check_one_line(result.stderr)
    assert contents(folder) == before


def test_the_library_refuses_as_the_commands_do(folder: Path) -> None:
    before = contents(folder)
    comparison = compare("layer.gpkg", "layer.geojson")
    summary = summarize("layer.gpkg", "layer.geojson")
    evaluation = evaluate("layer.gpkg", "layer.geojson")
    for write in (comparison.write, summary.write, evaluation.write_errors):
        with pytest.raises(OutputError, match="is an input"):
            write("layer.gpkg", overwrite=True)
    settings = PredictSettings(aoi=Path("layer.gpkg"))
    with pytest.raises(OutputError, match="is an input"):
        predict_to_file(
            "scene.tif", "layer.gpkg", "squares.safetensors", settings=settings, overwrite=True
        )
    assert contents(folder) == before
