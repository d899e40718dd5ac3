"""Whatever goes wrong: one line that starts with ``Error:``, the right exit code, nothing left."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import safetensors.numpy
import shapely
from affine import Affine
from click.testing import Result
from typer.testing import CliRunner

from geodetect_cli.app import app
from tests.helpers.program import PROGRAM, program_environment
from tests.helpers.square_scenes import CRS, grid_corners, squares_image, write_labels, write_raster
from tests.helpers.tiny_model import save_tiny_model

SIDE = 200
FAILURE, USAGE = 1, 2
runner = CliRunner()


@dataclass(frozen=True)
class Ready:
    """A folder with a raster and a model to spoil."""

    folder: Path

    @property
    def raster(self) -> Path:
        return self.folder / "scene.tif"

    @property
    def model(self) -> Path:
        return self.folder / "squares.safetensors"

    @property
    def output(self) -> Path:
        return self.folder / "out.geojson"

    def predict(self, *arguments: str | Path, raster: Path | None = None) -> Result:
        model = [] if "-m" in arguments else ["-m", self.model]
        output = [] if "-o" in arguments else ["-o", self.output]
        command = ["predict", raster or self.raster, *model, *output, *arguments]
        return runner.invoke(app, list(map(str, command)))

    def start(self, *arguments: str | Path, output: Path | str | None = None) -> list[str]:
        parts = ["predict", self.raster, "-m", self.model, "-o", output or self.output, *arguments]
        return [*PROGRAM, *map(str, parts)]


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    ready = Ready(tmp_path_factory.mktemp("originals"))
    write_raster(ready.raster, squares_image(SIDE, grid_corners(SIDE)))
    save_tiny_model(ready.model)
    return ready


@pytest.fixture
def ready(originals: Ready, tmp_path: Path) -> Ready:
    folder = tmp_path / "work"
    shutil.copytree(originals.folder, folder)
    return Ready(folder)


def check_one_line(stderr: str, *words: str) -> None:
    lines = [line for line in stderr.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1, stderr
    assert stderr.rstrip("\n").endswith(lines[0]), stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in lines[0]


def check_failure(result: Result, *words: str) -> None:
    assert result.exit_code == FAILURE, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    check_one_line(result.stderr, *words)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["--overlap", "lots"],
        ["--overlap", "120%"],
        ["--gsd", "fine"],
        ["--gsd", "0"],
        ["--bbox", "1,2,3"],
        ["--bbox", "9,9,1,1"],
        ["--bbox", "nan,0,1,1"],
        ["--bands", "red"],
        ["--tile-size", "0"],
        ["--tile-size", "big"],
        ["--conf", "2"],
        ["--conf", "nan"],
        ["--iou", "0"],
        ["--batch-size", "0"],
        ["--workers", "0"],
        ["-o", ""],
        ["-o", "-", "--json"],
        ["-o", "-", "--style"],
        ["-o", "-", "--format", "gpkg"],
    ],
)
def test_a_usage_error_has_exit_code_2_and_one_line(ready: Ready, arguments: list[str]) -> None:
    result = ready.predict(*arguments)
    assert result.exit_code == USAGE
    assert result.stdout == ""
    check_one_line(result.stderr)
    assert not ready.output.exists()


@pytest.mark.parametrize("arguments", [["detect"], ["predict", "-o", "x.geojson", "-q"], ["--no"]])
def test_a_wrong_command_or_no_raster_is_a_usage_error(arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == USAGE
    check_one_line(result.stderr)


def test_an_output_must_be_named_for_several_rasters(ready: Ready) -> None:
    rasters = [str(ready.raster), str(ready.raster)]
    result = runner.invoke(app, ["predict", *rasters, "-m", str(ready.model)])
    assert result.exit_code == USAGE
    check_one_line(result.stderr, "--output", "found 2 of them")


def test_a_missing_raster(ready: Ready) -> None:
    check_failure(ready.predict(raster=ready.folder / "no.tif"), "no.tif: no such file")


def test_a_truncated_raster(ready: Ready) -> None:
    ready.raster.write_bytes(ready.raster.read_bytes()[:60_000])
    check_failure(ready.predict(), "scene.tif: cannot read pixels", "damaged or incomplete")


def test_a_raster_without_its_header(ready: Ready) -> None:
    ready.raster.write_bytes(ready.raster.read_bytes()[60_000:])
    check_failure(ready.predict(), "not a raster")


@pytest.mark.parametrize("content", [b"", b"just text\n", b"II*\0"])
def test_a_file_that_only_calls_itself_a_raster(ready: Ready, content: bytes) -> None:
    ready.raster.write_bytes(content)
    check_failure(ready.predict(), "scene.tif", "not a raster")


def test_an_empty_folder_of_rasters(ready: Ready) -> None:
    (ready.folder / "sheets").mkdir()
    check_failure(ready.predict(raster=ready.folder / "sheets"), "no raster in this folder")


@pytest.mark.parametrize("bands", ["1,2", "1,2,9", "0,1,2", "1,2,-3"])
def test_bands_that_the_raster_does_not_have(ready: Ready, bands: str) -> None:
    check_failure(ready.predict("--bands", bands), "--bands")


def test_a_raster_with_one_band_for_a_model_of_three(ready: Ready) -> None:
    write_raster(ready.raster, squares_image(SIDE, [])[:1])
    check_failure(ready.predict(), "takes 3 bands", "--bands, e.g. to 1,1,1")


def test_a_raster_without_crs(ready: Ready) -> None:
    write_raster(ready.raster, squares_image(SIDE, []), crs=None)
    check_failure(ready.predict(), "--src-crs", "--pixel-coords")


def test_a_raster_far_too_coarse(ready: Ready) -> None:
    write_raster(ready.raster, squares_image(SIDE, []))
    with rasterio.open(ready.raster, "r+") as dataset:
        dataset.transform = Affine(30, 0, 500_000, 0, -30, 5_200_000)
    check_failure(ready.predict(), "too coarse", "--gsd to 30")


def test_an_unknown_model(ready: Ready) -> None:
    check_failure(ready.predict("-m", "giraffes"), "giraffes", "--model")


def test_a_truncated_model_file(ready: Ready) -> None:
    content = ready.model.read_bytes()
    for size in (0, 5, 100, 3000, len(content) // 2, len(content) - 1):
        ready.model.write_bytes(content[:size])
        check_failure(ready.predict(), "squares.safetensors")


def test_a_model_file_changed_by_one_byte(ready: Ready) -> None:
    content = bytearray(ready.model.read_bytes())
    content[-1000] ^= 1
    ready.model.write_bytes(content)
    check_failure(ready.predict(), "checksum does not match")


def test_a_safetensors_file_of_another_kind(ready: Ready) -> None:
    safetensors.numpy.save_file({"a": np.zeros(3)}, ready.model)
    check_failure(ready.predict(), "no geodetect model card")


def test_a_pickle_is_never_loaded(ready: Ready) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {shlex.quote(str(ready.folder / 'sprung'))}",)

    ready.model.write_bytes(pickle.dumps(Trap()))
    check_failure(ready.predict(), "not a model file")
    assert not (ready.folder / "sprung").exists()


def test_a_folder_for_a_model(ready: Ready) -> None:
    check_failure(ready.predict("-m", ready.folder), "neither a file")


def test_an_area_that_is_missing(ready: Ready) -> None:
    check_failure(ready.predict("--aoi", "no.gpkg"), "no.gpkg does not exist")


def test_an_area_without_crs(ready: Ready) -> None:
    path = ready.folder / "area.shp"
    area = gpd.GeoDataFrame(geometry=[shapely.box(500_000, 5_199_950, 500_050, 5_200_000)])
    with pytest.warns(UserWarning, match="crs"):
        area.to_file(path)
    check_failure(ready.predict("--aoi", path), "no coordinate reference system")


def test_an_area_off_the_raster(ready: Ready) -> None:
    area = write_labels(ready.folder / "area.geojson", [(9000, 9000, 9100, 9100)])
    check_failure(ready.predict("--aoi", area), "does not touch the raster")


def test_an_area_of_lines_only(ready: Ready) -> None:
    path = ready.folder / "area.gpkg"
    line = shapely.LineString([(500_000, 5_200_000), (500_050, 5_199_950)])
    gpd.GeoDataFrame(geometry=[line], crs=CRS).to_file(path)
    check_failure(ready.predict("--aoi", path), "area.gpkg", "polygon")


def test_an_area_that_is_no_vector_file(ready: Ready) -> None:
    path = ready.folder / "area.geojson"
    path.write_text("not a layer")
    check_failure(ready.predict("--aoi", path), "cannot be read as a vector file")


def test_a_missing_output_folder(ready: Ready) -> None:
    check_failure(ready.predict("-o", ready.folder / "no" / "out.gpkg"), "does not exist")


def test_an_output_that_exists(ready: Ready) -> None:
    ready.output.write_text("mine")
    check_failure(ready.predict(), "already exists", "--overwrite")
    assert ready.output.read_text() == "mine"


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.tif"])
def test_a_suffix_that_means_no_format(ready: Ready, name: str) -> None:
    check_failure(ready.predict("-o", ready.folder / name), name, "--format")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--crs", "EPSG:32632"],
        ["--format", "dxf"],
        ["--classes", "giraffe"],
        ["--device", "tpu"],
        ["--device", "cuda:999"],
        ["--overlap", "5000"],
        ["--value-range", "9,3"],
    ],
)
def test_a_value_that_cannot_be_used_is_named_in_the_error(
    ready: Ready, arguments: list[str]
) -> None:
    check_failure(ready.predict(*arguments), arguments[0])
    assert not ready.output.exists()


@pytest.mark.parametrize("option", ["--crs", "--src-crs"])
def test_a_crs_that_is_none(ready: Ready, option: str) -> None:
    check_failure(ready.predict(option, "nowhere"), "'nowhere' is no coordinate reference system")


@pytest.fixture
def read_only(ready: Ready) -> Path:
    """A folder where not even root can write: permissions do not stop root."""
    folder = ready.folder / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        folder = Path("/proc")
        if not folder.is_dir():
            pytest.skip("runs as root, whom permissions do not stop, and there is no /proc")
    return folder


def test_an_output_folder_that_cannot_be_written(ready: Ready, read_only: Path) -> None:
    check_failure(ready.predict("-o", read_only / "out.geojson"), "no files can be made")


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from geodetect_cli.app import main
main()
"""


@pytest.mark.parametrize("name", ["out.geojson", "out.gpkg"])
def test_a_full_disk(ready: Ready, name: str) -> None:
    before = set(ready.folder.iterdir())
    arguments = ready.start(output=ready.folder / name)[len(PROGRAM) :]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *arguments],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=False,
    )
    assert done.returncode == FAILURE
    check_one_line(done.stderr, "cannot write", name)
    assert set(ready.folder.iterdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_a_full_disk_behind_the_output_stream(ready: Ready) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "info", ready.raster, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=program_environment(),
            check=False,
        )
    assert done.returncode == FAILURE
    check_one_line(done.stderr, "No space left")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_stops_reading_ends_the_program_quietly(ready: Ready) -> None:
    process = subprocess.Popen(
        ready.start(output="-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=program_environment(PYTHONUNBUFFERED=""),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == FAILURE
    assert errors == ""


SLOW = r"""
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without one
from geodetect.io.raster.reader import Raster
read = Raster.read
def slow(*arguments):
    os.write(1, b"reading\n")  # at once, also when threads meet
    time.sleep(0.2)
    return read(*arguments)
Raster.read = slow
from geodetect_cli.app import main
main()
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_one_line_and_no_file(ready: Ready, sent: signal.Signals) -> None:
    before = set(ready.folder.iterdir())
    command = [sys.executable, "-c", SLOW, *ready.start("--tile-size", "32")[len(PROGRAM) :]]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=program_environment(),
    )
    assert process.stdout is not None
    for _ in range(6):
        assert process.stdout.readline() == "reading\n"
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == FAILURE
    check_one_line(errors, "interrupted")
    assert errors.count("\n") == 1
    assert set(ready.folder.iterdir()) == before


def test_an_interrupted_run_with_finished_rows_goes_on(ready: Ready) -> None:
    options = ("--tile-size", "32", "--work-dir", str(ready.folder))
    command = [sys.executable, "-c", SLOW, *ready.start(*options)[len(PROGRAM) :]]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=program_environment(),
    )
    assert process.stdout is not None
    for _ in range(40):
        assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == FAILURE
    assert "run the same again to resume where it stopped" in errors
    assert len(list(ready.folder.glob("*.journal"))) == 1
    done = subprocess.run(
        [*ready.start(*options), "--json"],
        capture_output=True,
        env=program_environment(),
        check=True,
    )
    assert json.loads(done.stdout)["resumed_tiles"] > 0
    assert not list(ready.folder.glob("*.journal*"))


def test_a_bug_shows_its_traceback(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    from geodetect.detection import predict_to_file as inference

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(inference, "predict_layer", broken)
    assert isinstance(ready.predict().exception, ZeroDivisionError)
