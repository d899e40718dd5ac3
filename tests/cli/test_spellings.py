"""Spellings of options that are understood: former names, singular and plural, underscores."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from geodetect.settings import ChipSettings, EvaluateSettings, PredictSettings, TrainSettings
from geodetect.settings.base import former_names
from geodetect_cli.app import load_command
from geodetect_cli.commands import COMMANDS
from tests.helpers.program import check_one_line, invoke

FORMER = [
    ("predict", "--iou", "--nms-iou"),
    ("evaluate", "--area", "--aoi"),
    ("evaluate", "--sizes", "--size-bins"),
    ("evaluate", "--block", "--block-size"),
    ("evaluate", "--labels", "--truth"),
    ("compare", "--tolerance", "--distance"),
    ("compare", "--parcel-id", "--parcel-field"),
    ("summarize", "--precision", "--measured-precision"),
    ("summarize", "--support", "--measured-on"),
    ("report", "--chips", "--thumbnails"),
    ("preview", "--size", "--image-size"),
    ("preview", "--count", "--thumbnails"),
    ("quantize", "--least-ap", "--min-ap"),
    ("train", "--chip-px", "--tile-size"),
    ("train", "--val-area", "--val-aoi"),
    ("tile", "--overlap-px", "--overlap"),
]
SIMILAR = [
    ("train", "--raster", "--rasters"),
    ("train", "--label", "--labels"),
    ("train", "--license", "--licence"),
    ("predict", "--tile_size", "--tile-size"),
    ("predict", "--class", "--classes"),
    ("predict", "--raster", "--rasters"),
    ("summarize", "--zone", "--zones"),
    ("train", "--val-raster", "--val-rasters"),
    ("train", "--no-checks", "--no-check"),
]


@pytest.mark.parametrize(("command", "spelling", "flag"), FORMER + SIMILAR)
def test_a_spelling_means_its_option(command: str, spelling: str, flag: str) -> None:
    assert load_command(command).spellings.flag(spelling) == flag


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_means_itself(command: str) -> None:
    program = load_command(command)
    for parameter in program.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("--") and name not in ("--help", "--version"):
                assert program.spellings.flag(name) == name


def test_a_former_name_that_an_option_has_now_means_that_option() -> None:
    assert load_command("evaluate").spellings.flag("--iou") == "--iou"


def test_former_names_are_understood_from_python_and_in_settings_files(tmp_path: Path) -> None:
    assert PredictSettings.model_validate({"iou": 0.3}) == PredictSettings(nms_iou=0.3)
    assert TrainSettings.model_validate({"chip_px": 64}).tile_size == 64
    assert ChipSettings.model_validate({"overlap_px": 16}).overlap == 16
    (tmp_path / "run.toml").write_text("tile-size = 5\nchip_px = 6\n")
    result = invoke("tile", "a.tif", "--config", tmp_path / "run.toml")
    check_one_line(result.stderr, "line 2", "chip_px and tile-size are the same setting")


def test_a_setting_under_both_names_is_refused() -> None:
    with pytest.raises(ValidationError, match="`area` is the former name of `aoi`; found both"):
        EvaluateSettings.model_validate({"area": "a.gpkg", "aoi": "b.gpkg"})


def test_a_former_name_is_the_name_of_no_setting_of_its_class() -> None:
    for settings in (EvaluateSettings, PredictSettings, TrainSettings, ChipSettings):
        for field in settings.model_fields.values():
            assert not set(former_names(field)) & settings.model_fields.keys()


def test_an_argument_may_be_stated_as_an_option(tmp_path: Path) -> None:
    missing = str(tmp_path / "no.tif")
    for arguments in (
        ["info", missing],
        ["info", "--file", missing],
        ["info", f"--file={missing}"],
    ):
        check_one_line(invoke(*arguments).stderr, "no.tif")
    result = invoke("evaluate", "--predictions", missing, missing, "--truth", missing)
    assert result.exit_code == 2
    check_one_line(result.stderr, "expected one file as TRUTH, found 2")
    result = invoke("compare", missing, missing, "--before", missing)
    assert result.exit_code == 2
    check_one_line(result.stderr, f"unexpected argument {missing}", "--before")
