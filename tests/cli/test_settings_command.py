"""Options come from settings, on the command line or in a file, and errors name them."""

from __future__ import annotations

import inspect
import json
import threading
import tomllib
import warnings
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import geodetect.settings
from geodetect.errors import GeodetectWarning, InputError
from geodetect.settings import PredictSettings, TrainSettings
from geodetect.settings.base import Settings
from geodetect.settings.toml import to_toml
from geodetect_cli import console
from geodetect_cli.app import load_command
from geodetect_cli.command_line.option import AS_OPTION
from geodetect_cli.commands import COMMANDS
from tests.helpers.program import invoke

CLASSES = [
    value
    for value in vars(geodetect.settings).values()
    if inspect.isclass(value) and issubclass(value, Settings)
]


@pytest.mark.parametrize("settings", CLASSES, ids=lambda kind: kind.__name__)
def test_every_setting_has_a_description(settings: type[Settings]) -> None:
    for name, field in settings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("settings", CLASSES, ids=lambda kind: kind.__name__)
def test_settings_are_none_by_default_or_never(settings: type[Settings]) -> None:
    """None cannot be written to a file, so a setting that is left away must mean it."""
    for name, field in settings.model_fields.items():
        allows_none = type(None) in getattr(field.annotation, "__args__", ())
        assert field.is_required() or (field.default is None) == allows_none, name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_comes_from_a_field(command: str) -> None:
    from importlib import import_module

    function = inspect.unwrap(import_module(f"geodetect_cli.commands.{command}").command)
    groups = [group for name, group in get_type_hints(function).items() if name != "return"]
    fields = {name for group in groups for name in group.model_fields}
    names = {str(parameter.name) for parameter in load_command(command).params}
    assert {name.removesuffix(AS_OPTION) for name in names} == fields


def option_names(command: str) -> set[str]:
    return {name for parameter in load_command(command).params for name in parameter.opts}


def test_commands_that_run_a_model_have_the_same_model_options() -> None:
    options = {"--model", "--device", "--runtime", "--precision", "--batch-size", "--workers"}
    options |= {"--tile-size", "--overlap", "--conf", "--nms-iou", "--gsd", "--bands"}
    options |= {"--value-range"}
    for command in ("predict", "evaluate"):
        assert options <= option_names(command)


def test_commands_that_read_a_layer_have_the_same_layer_options() -> None:
    for command in ("evaluate", "compare", "summarize", "report", "preview"):
        assert {"--score-field", "--pred-crs"} <= option_names(command), command
    for command in ("evaluate", "compare", "summarize", "report"):
        assert "--class-field" in option_names(command), command


def test_every_command_with_settings_reads_them_from_a_file() -> None:
    assert {c for c in COMMANDS if "--config" not in option_names(c)} == {"info", "models"}


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what ``predict`` would run with."""
    from geodetect.detection.predict_to_file import PredictionFiles

    settings: list[PredictSettings] = []

    def stop(files: object, rasters: object, model: object, **arguments: Any) -> None:
        settings.append(arguments["settings"])
        raise InputError("stopped")

    monkeypatch.setattr(PredictionFiles, "predict", stop)
    monkeypatch.chdir(tmp_path)

    def call(text: str, *arguments: str) -> tuple[PredictSettings, str]:
        Path("run.toml").write_text(text, encoding="utf-8")
        result = invoke("predict", "scene.tif", "--config", "run.toml", *arguments)
        assert result.exit_code == 1, result.output
        return settings[-1], result.stderr

    return call


def test_settings_are_read_from_a_file(settings_of: Any) -> None:
    text = 'conf = 0.5\ngsd = "25cm"\nbands = [3, 2, 1]\nclasses = ["pool"]\npixel_coords = true\n'
    settings, _ = settings_of(text)
    assert settings == PredictSettings(
        conf=0.5, gsd=0.25, bands=(3, 2, 1), classes=("pool",), pixel_coords=True
    )


def test_the_table_of_the_command_counts_and_those_of_others_do_not(settings_of: Any) -> None:
    text = 'device = "cpu"\n[train]\nsteps = 5\n[predict]\nconf = 0.25\ntile_size = 512\n'
    settings, _ = settings_of(text)
    assert settings == PredictSettings(device="cpu", conf=0.25, tile_size=512)


def test_options_win_over_the_file_and_verbose_says_so(settings_of: Any) -> None:
    settings, messages = settings_of("conf = 0.5\nnms_iou = 0.4\n", "--conf", "0.7", "-v")
    assert settings == PredictSettings(conf=0.7, nms_iou=0.4)
    assert "--conf 0.7 replaces conf = 0.5 of run.toml\n" in messages
    _, messages = settings_of("conf = 0.5\n", "--conf", "0.7")
    assert "replaces" not in messages


def test_a_setting_may_be_called_as_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodetect.training import train as training

    settings: list[TrainSettings] = []

    def stop(*_: object, **arguments: Any) -> None:
        settings.append(arguments["settings"])
        raise InputError("stopped")

    monkeypatch.setattr(training, "train", stop)
    file = tmp_path / "run.toml"
    for text in ("check = false", "[check]\nshift = false\n[train]\ncheck = false"):
        file.write_text(text)
        command = ["train", "--rasters", "a.tif", "--labels", "b.gpkg", "--config", str(file)]
        assert invoke(*command, "-q").exit_code == 1
        assert settings.pop() == TrainSettings(check=False)


def test_required_arguments_and_outputs_may_be_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('rasters = ["no.tif"]\noutput = "out.geojson"\n')
    result = invoke("predict", "--config", file)
    assert result.exit_code == 1
    assert result.stderr == "Error: no.tif: no such file\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("# x\ncnof = 0.5\n", "line 2: unknown key cnof; the nearest one is conf"),
        ("iou = 0.5\n\n[predict]\ntile-sise = 5\n", "line 4: unknown key tile-sise; the nearest"),
        ("conf = 0.5\n[predcit]\niou = 0.5\n", "line 2: unknown key predcit; the nearest one is"),
        ("iou = 0.5\nconf = 2.0\n", "line 2: conf: expected a number less than or equal to 1; fou"),
        ('conf = "high"\n', 'line 1: conf: expected a number; found "high"'),
        ("bands = [\n1,\n2.5]\n", "line 1: bands: expected a whole number"),
        ('bands = "red"\n', "line 1: bands: expected band numbers, counted from 1,"),
        ('[predict]\nruntime = "x"\n', "line 2: runtime: expected 'auto', 'torch', 'openvino' or"),
        ('"conf" = 7\n', "line 1: conf: expected a number less than"),
        ("predict.conf = 7\n", "line 1: conf: expected a number less than"),
        ("predict = {conf = 7}\n", "line 1: conf: expected a number less than"),
        ('model = """\nconf = 1\n"""\nconf = 7\n', "line 4: conf: expected a number less than"),
        ("[train]\nconf = 7\n[predict]\nconf = 8\n", "line 4: conf: expected"),
        ("rasters = 5\n", "line 1: rasters: expected a list; found 5"),
        ("conf = \n", "is not TOML: Invalid value (at line 1"),
    ],
)
def test_an_error_in_a_file_is_one_line_with_its_place(
    tmp_path: Path, text: str, error: str
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    raster = [] if text.startswith("rasters") else ["a.tif"]
    result = invoke("predict", *raster, "--config", file)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {file}")
    assert error in line


def test_a_file_that_is_missing_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "no.toml"
    result = invoke("predict", "a.tif", "--config", file)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {file} cannot be read (No such file or directory)\n"


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True),
        st.one_of(
            st.text(),
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
            st.lists(st.text()),
        ),
    )
)
def test_values_are_read_back_from_toml(values: dict[str, Any]) -> None:
    try:
        to_toml(values).encode()
    except UnicodeEncodeError:  # lone surrogates are no text
        return
    assert tomllib.loads(to_toml(values)) == values


def test_settings_are_read_back_from_toml() -> None:
    settings = TrainSettings(
        lr="auto", val_rasters=("a.tif",), bands=(1, 2), gsd=0.1, check=False, name='a "b" \\ c'
    )
    text = to_toml(settings.stated_values())
    assert TrainSettings.model_validate(tomllib.loads(text)) == settings


def test_parameters_in_messages_become_options() -> None:
    flags = {"tile_size": "--tile-size", "rasters": "RASTER", "as_json": "--json"}
    text = "`tile_size` must be 1 or more for `rasters`; see `geodetect models` and `crs`"
    assert console.name_options(text, flags) == (
        "--tile-size must be 1 or more for RASTER; see `geodetect models` and `crs`"
    )


def test_errors_and_warnings_of_a_command_name_its_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from geodetect.detection.predict_to_file import PredictionFiles

    def fail(*_: object, **__: object) -> None:
        warnings.warn("set `value_range`, not `percentiles`", GeodetectWarning, stacklevel=1)
        raise InputError("`src_crs` is unknown; see `rasters`, `src_crs EPSG:2154`")

    monkeypatch.setattr(PredictionFiles, "predict", fail)
    result = invoke("predict", "a.tif", "-o", tmp_path / "a.geojson")
    assert result.stderr.splitlines() == [
        "Warning: set --value-range, not `percentiles`",
        "Error: --src-crs is unknown; see RASTER, `src_crs EPSG:2154`",
    ]


def test_the_json_of_a_command_holds_its_warnings_those_of_threads_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from geodetect.model import file

    def warn(text: str) -> None:
        warnings.warn(text, GeodetectWarning, stacklevel=1)

    def list_models() -> list[str]:
        for text in ("set `as_json`", "the same again", "the same again"):
            thread = threading.Thread(target=warn, args=(text,))
            thread.start()
            thread.join()
        return []

    monkeypatch.setattr(file, "list_models", list_models)
    for _ in range(2):  # a second command starts without the warnings of the first
        result = invoke("models", "--json")
        assert json.loads(result.stdout)["warnings"] == ["set --json", "the same again"]
        assert result.stderr.count("Warning: ") == 3
