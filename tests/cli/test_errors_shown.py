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

from tests.helpers.program import (
    PROGRAM,
    check_failure,
    check_one_line,
    invoke,
    program_environment,
)
from tests.helpers.square_scenes import CRS, grid_corners, squares_image, write_labels, write_raster
from tests.helpers.tiny_model import save_tiny_model

SIDE = 200
FAILURE, USAGE = 1, 2


@dataclass(frozen=True)
class Workspace:
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
        return invoke(*command)

    def start(self, *arguments: str | Path, output: Path | str | None = None) -> list[str]:
        parts = ["predict", self.raster, "-m", self.model, "-o", output or self.output, *arguments]
        return [*PROGRAM, *map(str, parts)]


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ready = Workspace(tmp_path_factory.mktemp("originals"))
    write_raster(ready.raster, squares_image(SIDE, grid_corners(SIDE)))
    save_tiny_model(ready.model)
    return ready


@pytest.fixture
def work(originals: Workspace, tmp_path: Path) -> Workspace:
    folder = tmp_path / "work"
    shutil.copytree(originals.folder, folder)
    return Workspace(folder)


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
def test_a_usage_error_has_exit_code_2_and_one_line(work: Workspace, arguments: list[str]) -> None:
    result = work.predict(*arguments)
    assert result.exit_code == USAGE
    assert result.stdout == ""
    check_one_line(result.stderr)
    assert not work.output.exists()


@pytest.mark.parametrize("arguments", [["detect"], ["predict", "-o", "x.geojson", "-q"], ["--no"]])
def test_a_wrong_command_or_no_raster_is_a_usage_error(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == USAGE
    check_one_line(result.stderr)


def test_an_output_must_be_named_for_several_rasters(work: Workspace) -> None:
    rasters = [str(work.raster), str(work.raster)]
    result = invoke("predict", *rasters, "-m", work.model)
    assert result.exit_code == USAGE
    check_one_line(result.stderr, "--output", "found 2 of them")


def test_a_missing_raster(work: Workspace) -> None:
    check_failure(work.predict(raster=work.folder / "no.tif"), "no.tif: no such file")


def test_a_name_that_is_too_long(work: Workspace) -> None:
    result = work.predict(raster=work.folder / f"{'a' * 300}.tif")
    check_failure(result, "aaa.tif: File name too long")
    assert "Errno" not in result.stderr


def test_a_truncated_raster(work: Workspace) -> None:
    work.raster.write_bytes(work.raster.read_bytes()[:60_000])
    check_failure(work.predict(), "scene.tif: cannot read pixels", "damaged or incomplete")


def test_a_raster_without_its_header(work: Workspace) -> None:
    work.raster.write_bytes(work.raster.read_bytes()[60_000:])
    check_failure(work.predict(), "not a raster")


@pytest.mark.parametrize("content", [b"", b"just text\n", b"II*\0"])
def test_a_file_that_only_calls_itself_a_raster(work: Workspace, content: bytes) -> None:
    work.raster.write_bytes(content)
    check_failure(work.predict(), "scene.tif", "not a raster")


def test_an_empty_folder_of_rasters(work: Workspace) -> None:
    (work.folder / "sheets").mkdir()
    check_failure(work.predict(raster=work.folder / "sheets"), "no raster in this folder")


@pytest.mark.parametrize("bands", ["1,2", "1,2,9", "0,1,2", "1,2,-3"])
def test_bands_that_the_raster_does_not_have(work: Workspace, bands: str) -> None:
    check_failure(work.predict("--bands", bands), "--bands")


def test_a_raster_with_one_band_for_a_model_of_three(work: Workspace) -> None:
    write_raster(work.raster, squares_image(SIDE, [])[:1])
    check_failure(work.predict(), "takes 3 bands", "--bands, e.g. to 1,1,1")


def test_a_raster_without_crs(work: Workspace) -> None:
    write_raster(work.raster, squares_image(SIDE, []), crs=None)
    check_failure(work.predict(), "--src-crs", "--pixel-coords")


def test_a_raster_far_too_coarse(work: Workspace) -> None:
    write_raster(work.raster, squares_image(SIDE, []))
    with rasterio.open(work.raster, "r+") as dataset:
        dataset.transform = Affine(30, 0, 500_000, 0, -30, 5_200_000)
    check_failure(work.predict(), "too coarse", "--gsd to 30")


def test_an_unknown_model(work: Workspace) -> None:
    check_failure(work.predict("-m", "giraffes"), "giraffes", "--model")


def test_a_truncated_model_file(work: Workspace) -> None:
    content = work.model.read_bytes()
    for size in (0, 5, 100, 3000, len(content) // 2, len(content) - 1):
        work.model.write_bytes(content[:size])
        check_failure(work.predict(), "squares.safetensors")


def test_a_model_file_changed_by_one_byte(work: Workspace) -> None:
    content = bytearray(work.model.read_bytes())
    content[-1000] ^= 1
    work.model.write_bytes(content)
    check_failure(work.predict(), "checksum does not match")


def test_a_safetensors_file_of_another_kind(work: Workspace) -> None:
    safetensors.numpy.save_file({"a": np.zeros(3)}, work.model)
    check_failure(work.predict(), "no geodetect model card")


def test_a_pickle_is_never_loaded(work: Workspace) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {shlex.quote(str(work.folder / 'sprung'))}",)

    work.model.write_bytes(pickle.dumps(Trap()))
    check_failure(work.predict(), "not a model file")
    assert not (work.folder / "sprung").exists()


def test_a_folder_for_a_model(work: Workspace) -> None:
    check_failure(work.predict("-m", work.folder), "neither a file")


def test_an_area_that_is_missing(work: Workspace) -> None:
    check_failure(work.predict("--aoi", "no.gpkg"), "no.gpkg does not exist")


def test_an_area_without_crs(work: Workspace) -> None:
    path = work.folder / "area.shp"
    area = gpd.GeoDataFrame(geometry=[shapely.box(500_000, 5_199_950, 500_050, 5_200_000)])
    with pytest.warns(UserWarning, match="crs"):
        area.to_file(path)
    check_failure(work.predict("--aoi", path), "no coordinate reference system")


def test_an_area_off_the_raster(work: Workspace) -> None:
    area = write_labels(work.folder / "area.geojson", [(9000, 9000, 9100, 9100)])
    check_failure(work.predict("--aoi", area), "does not touch the raster")


def test_an_area_of_lines_only(work: Workspace) -> None:
    path = work.folder / "area.gpkg"
    line = shapely.LineString([(500_000, 5_200_000), (500_050, 5_199_950)])
    gpd.GeoDataFrame(geometry=[line], crs=CRS).to_file(path)
    check_failure(work.predict("--aoi", path), "area.gpkg", "polygon")


def test_an_area_that_is_no_vector_file(work: Workspace) -> None:
    path = work.folder / "area.geojson"
    path.write_text("not a layer")
    check_failure(work.predict("--aoi", path), "cannot be read as a vector file")


def test_a_missing_output_folder(work: Workspace) -> None:
    check_failure(work.predict("-o", work.folder / "no" / "out.gpkg"), "does not exist")


def test_an_output_that_exists(work: Workspace) -> None:
    work.output.write_text("mine")
    check_failure(work.predict(), "already exists", "--overwrite")
    assert work.output.read_text() == "mine"


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.tif"])
def test_a_suffix_that_means_no_format(work: Workspace, name: str) -> None:
    check_failure(work.predict("-o", work.folder / name), name, "--format")


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
    work: Workspace, arguments: list[str]
) -> None:
    check_failure(work.predict(*arguments), arguments[0])
    assert not work.output.exists()


@pytest.mark.parametrize("option", ["--crs", "--src-crs"])
def test_a_crs_that_is_none(work: Workspace, option: str) -> None:
    check_failure(work.predict(option, "nowhere"), "'nowhere' is no coordinate reference system")


@pytest.fixture
def read_only(work: Workspace) -> Path:
    """A folder where not even root can write: permissions do not stop root."""
    folder = work.folder / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        folder = Path("/proc")
        if not folder.is_dir():
            pytest.skip("runs as root, whom permissions do not stop, and there is no /proc")
    return folder


def test_an_output_folder_that_cannot_be_written(work: Workspace, read_only: Path) -> None:
    check_failure(work.predict("-o", read_only / "out.geojson"), "no files can be made")


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from geodetect_cli.app import main
main()
"""


@pytest.mark.parametrize("name", ["out.geojson", "out.gpkg"])
def test_a_full_disk(work: Workspace, name: str) -> None:
    work.predict("-o", work.folder.parent / "first.geojson")  # its network is in the cache now
    before = set(work.folder.iterdir())
    arguments = work.start(output=work.folder / name)[len(PROGRAM) :]
    process = subprocess.run(
        [sys.executable, "-c", FULL, *arguments],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=False,
    )
    assert process.returncode == FAILURE
    check_one_line(process.stderr, "cannot write", name)
    assert set(work.folder.iterdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_a_full_disk_behind_the_output_stream(work: Workspace) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [*PROGRAM, "info", work.raster, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=program_environment(),
            check=False,
        )
    assert process.returncode == FAILURE
    check_one_line(process.stderr, "No space left")
    assert process.stderr.count("\n") == 1


def test_a_reader_that_stops_reading_ends_the_program_quietly(work: Workspace) -> None:
    process = subprocess.Popen(
        work.start(output="-"),
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
def test_an_interrupted_run_leaves_one_line_and_no_file(
    work: Workspace, sent: signal.Signals
) -> None:
    before = set(work.folder.iterdir())
    command = [sys.executable, "-c", SLOW, *work.start("--tile-size", "32")[len(PROGRAM) :]]
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
    assert process.returncode == 128 + sent
    check_one_line(errors, "interrupted")
    assert errors.count("\n") == 1
    assert set(work.folder.iterdir()) == before


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=False,
    )


UNRAISABLE = """
from geodetect_cli import console
class Log:
    def __init__(self, text):
        self.text = text
    def __del__(self):  # an error here has no caller, as in the log of rasterio
        self.text.decode()
with console.show_errors({}):
    Log(b"caf\\xe9.tif")
    Log(None)
"""


def test_messages_of_gdal_that_are_no_utf8_show_nothing_and_other_errors_are_shown() -> None:
    process = run_code(UNRAISABLE)
    assert process.returncode == 0
    assert "UnicodeDecodeError" not in process.stderr
    assert process.stderr.count("Exception ignored") == process.stderr.count("AttributeError") == 1


@pytest.mark.skipif(os.name == "nt", reason="shells of Windows close no streams")
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_harm_no_file(work: Workspace, closed: str) -> None:
    command = f"{shlex.join(work.start())} {closed}"
    subprocess.run(command, shell=True, check=True, env=program_environment())
    assert len(gpd.read_file(work.output)) > 0


@pytest.mark.skipif(os.name == "nt", reason="shells of Windows close no streams")
def test_a_closed_output_stream_is_an_error_for_results(work: Workspace) -> None:
    process = subprocess.run(
        f"{shlex.join([*PROGRAM, 'info', str(work.raster)])} >&-",
        shell=True,
        capture_output=True,
        text=True,
        env=program_environment(),
        check=False,
    )
    assert process.returncode == FAILURE
    check_one_line(process.stderr, "Bad file descriptor")


INTERRUPTED_IMPORT = r"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without one
def hook(event, details):
    if event == "open" and "predict" in str(details[0]) and len(sys.argv) == 4:
        os.kill(os.getpid(), int(sys.argv.pop()))
sys.addaudithook(hook)
from geodetect_cli.app import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a process")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_command_is_imported_leaves_one_line(sent: signal.Signals) -> None:
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, "predict", "scene.tif", str(int(sent))],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=False,
    )
    assert process.returncode == 128 + sent
    assert process.stderr == "Error: interrupted; no result was written\n"


INTERRUPTED_CODE = r"""
import os, signal
from geodetect_cli import app
def run_code():
    exec("import os, signal\nos.kill(os.getpid(), int(signal.SIGINT))\nwhile True: pass")
app.app = run_code
app.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a process")
def test_an_interrupt_in_a_text_of_code_ends_with_the_exit_code_of_the_program() -> None:
    process = run_code(INTERRUPTED_CODE)
    assert process.returncode == 128 + signal.SIGINT  # and not by the signal, which were -2
    assert process.stderr == "Error: interrupted; no result was written\n"


REPEATED_INTERRUPTS = r"""
import os, signal, time
from geodetect_cli import app
def clean_up():
    try:
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        print("cleaned up")
app.app = clean_up
app.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a process")
def test_signals_that_follow_at_once_do_not_disturb_the_end() -> None:
    process = run_code(REPEATED_INTERRUPTS)
    assert process.returncode == 128 + signal.SIGTERM
    assert process.stdout == "cleaned up\n"
    assert process.stderr == "Error: interrupted; no result was written\n"


INTERRUPTED_LIBRARY = r"""
import signal, sys
import typer
from geodetect_cli import console
try:
    with console.show_errors({}):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("Error while accessing batch from stream.") from None
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


def test_an_interrupt_that_a_library_turns_into_another_error_leaves_one_line() -> None:
    process = run_code(INTERRUPTED_LIBRARY)
    assert process.returncode == 128 + signal.SIGINT
    assert process.stderr == "Error: interrupted; no result was written\n"


def test_an_interrupted_run_with_finished_rows_goes_on(work: Workspace) -> None:
    options = ("--tile-size", "32", "--work-dir", str(work.folder))
    command = [sys.executable, "-c", SLOW, *work.start(*options)[len(PROGRAM) :]]
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
    assert process.returncode == 128 + signal.SIGINT
    assert "run the same again to resume where it stopped" in errors
    assert len(list(work.folder.glob("*.journal"))) == 1
    finished = subprocess.run(
        [*work.start(*options), "--json"],
        capture_output=True,
        env=program_environment(),
        check=True,
    )
    assert json.loads(finished.stdout)["resumed_tiles"] > 0
    assert not list(work.folder.glob("*.journal*"))


def test_a_bug_shows_its_traceback(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from geodetect.detection import predict_to_file as inference

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(inference, "predict_layer", broken)
    assert isinstance(work.predict().exception, ZeroDivisionError)
