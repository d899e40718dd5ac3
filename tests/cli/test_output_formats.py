"""Every command writes every format that its help offers, whatever columns its inputs have."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from geodetect.io.vector.write import FORMATS
from tests.helpers.predict_command import write_inputs
from tests.helpers.program import invoke

SUFFIXES = [suffix for kind in FORMATS for suffix in kind.suffixes]
COMMANDS = {
    "predict": "predict scene.tif -m squares.safetensors -o OUT",
    "predict --coverage": "predict scene.tif -m squares.safetensors -o x.geojson --coverage OUT",
    "compare": "compare layer.parquet --register all.parquet -o OUT",
    "compare before": "compare all.parquet layer.parquet -o OUT",
    "summarize": "summarize layer.parquet --zones all.parquet -o OUT",
    "check": "check --rasters scene.tif --labels layer.geojson -o OUT",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    layer = gpd.read_file(write_inputs(folder))
    layer.to_parquet(folder / "layer.parquet")
    days = pd.to_datetime(["2020-01-01", None, "2021-05-05 10:00", "2020-01-01"], format="mixed")
    columns = {
        "permit": [True, None, False, True],
        "is_new": [True, False, True, False],
        "built": days,
        "built_utc": days.tz_localize("UTC"),
        "day": [day and day.date() for day in days.astype(object).where(days.notna(), None)],
        "duration": pd.to_timedelta([1, 2, 3, None], unit="s"),
        "kind": pd.Categorical(["x", "y", "x", None]),
        "depth": [1.5, np.nan, np.inf, 2],
        "storeys": pd.array([1, None, 3, 4], dtype="Int64"),
        "owners": [["a", "b"], ["c"], None, []],
        "scan": [b"a", b"b", None, b"d"],
        "empty": [None] * 4,
        "WKT": ["a"] * 4,
        "lon": [1, 2, 3, 4],
        'straße; "so"': ["x,y", '"q"', "new\nline", "=1+1"],
    }
    layer.assign(**columns).to_parquet(folder / "all.parquet")
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_writes_every_format(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, suffix: str
) -> None:
    monkeypatch.chdir(folder)
    output = f"{command.split()[0]}{len(command)}{suffix}"
    result = invoke(*command.replace("OUT", output).split(), "--overwrite")
    assert result.exit_code == 0, result.output
    assert Path(output).is_file()
    if "scene.tif" not in command:
        read = gpd.read_parquet if "parquet" in suffix else gpd.read_file
        assert len(pd.read_csv(output) if suffix == ".csv" else read(output)) == 4


@pytest.mark.parametrize("command", ["predict", "compare", "compare before", "summarize"])
def test_every_command_writes_to_the_output_stream(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(folder)
    result = invoke(*COMMANDS[command].replace("OUT", "-").split())
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith('{"type":"FeatureCollection"')
