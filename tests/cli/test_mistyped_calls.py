"""Mistyped calls, each answered in one line with what was meant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import geopandas as gpd
import pytest

from geodetect_cli.app import load_command
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.commands import COMMANDS
from tests.helpers.predict_command import write_inputs
from tests.helpers.program import invoke

PREDICT, TRAIN = "predict scene.tif", "train --rasters scene.tif --labels pools.geojson"
EVALUATE, COMPARE = "evaluate pools.geojson truth.gpkg", "compare pools.geojson"
REPORT, TILE = "report pools.geojson -r scene.tif -o r.html", "tile scene.tif -o chips"

CALLS = [  # words, and what the answer holds
    # commands
    ("predcit scene.tif", "did you mean predict?"),
    ("Predict scene.tif", "did you mean predict?"),
    ("detect scene.tif", "did you mean predict?"),
    ("eval pools.geojson truth.gpkg", "did you mean evaluate?"),
    ("validate pools.geojson truth.gpkg", "did you mean evaluate?"),
    ("diff pools.geojson truth.gpkg", "did you mean compare?"),
    ("list", "did you mean models?"),
    ("help predit", "did you mean predict?"),
    ("predict help", "did you mean geodetect help predict?"),
    ("scene.tif", "did you mean geodetect predict scene.tif?"),
    ("geodetect predict scene.tif", "geodetect stands there twice"),
    ("-m pools predict scene.tif", "write geodetect predict ... -m ..."),
    ("merge a.geojson b.geojson", "predict *.tif -o FILE"),
    ("version", "did you mean geodetect --version?"),
    ("--verison", "did you mean --version?"),
    ("-v", "did you mean --version?"),
    # options under other names, of other programs too, and misspelt
    (f"{PREDICT} --confidence 0.5", "did you mean --conf?"),
    (f"{PREDICT} --conf-thres 0.5", "did you mean --conf?"),
    (f"{PREDICT} --treshold 0.5", "did you mean --conf?"),
    (f"{PREDICT} --imgsz 640", "did you mean --tile-size?"),
    (f"{PREDICT} --slice_height 512", "did you mean --tile-size?"),
    (f"{PREDICT} --tilesize 640", "did you mean --tile-size?"),
    (f"{PREDICT} --weights my.pt", "did you mean --model?"),
    (f"{PREDICT} --out x.gpkg", "did you mean --output?"),
    (f"{PREDICT} --force", "did you mean --overwrite?"),
    (f"{PREDICT} --overwite", "did you mean --overwrite?"),
    (f"{PREDICT} --gpu", "did you mean --device?"),
    (f"{PREDICT} --extent 1,2,3,4", "did you mean --bbox?"),
    (f"{PREDICT} --t_srs EPSG:2154", "did you mean --crs?"),
    (f"{PREDICT} --log run.log", "did you mean --log-file?"),
    (f"{PREDICT} -g 0.25", "did you mean --geometry or --gsd?"),
    (f"{PREDICT} -V", "write geodetect --version"),
    (f"{PREDICT} -conf 0.5", "did you mean --conf, with two dashes?"),
    (f"{PREDICT} —conf 0.5", "begins with a long dash; did you mean --conf?"),
    (f"{PREDICT} conf=0.5", "an option is written --conf 0.5"),
    (f"{PREDICT} --no-style", "did you mean --style?"),
    (f"{PREDICT} --resume", "continues by itself"),
    (f"{PREDICT} --labels pools.geojson", "train, check and tile have it"),
    (f"{PREDICT} --visualize", "did you mean the command preview?"),
    (f"{TRAIN} --epochs 50", "did you mean --steps?"),
    (f"{TRAIN} --val-split 0.2", "did you mean --val-share?"),
    ("train --data data.yaml", "did you mean --labels?"),
    ("train --images scene.tif --labels pools.geojson", "did you mean --rasters?"),
    (f"{EVALUATE} --iou-thresh 0.5", "did you mean --iou?"),
    (f"{COMPARE} --cadastre truth.gpkg", "did you mean --register?"),
    (f"{COMPARE} --register truth.gpkg --tolerence 3", "did you mean --distance?"),
    ("summarize pools.geojson --communes truth.gpkg", "did you mean --zones?"),
    # values that are missing, split at blanks, or of another form
    (f"{PREDICT} --conf", "expected SCORE after it"),
    (f"{PREDICT} --conf --json", "followed by the option --json; expected SCORE"),
    (f"{PREDICT} --conf 0,5", "did you mean 0.5?"),
    (f"{PREDICT} --conf 70", "did you mean 70%?"),
    (f"{PREDICT} --conf 40 %", "did you mean --conf 40%?"),
    (f"{PREDICT} --conf 0.4, 0.5", "did you mean --conf 0.4 or 0.5?"),
    (f"{PREDICT} --gsd 25 cm", "did you mean --gsd 25cm?"),
    (f"{PREDICT} --gsd 0.2 meters", "did you mean --gsd 0.2m?"),
    (f"{PREDICT} --gsd 1ft", "did you mean 0.3048m?"),
    (f"{PREDICT} --bbox 1 2 3 4", "did you mean --bbox 1,2,3,4?"),
    (f"{PREDICT} --bbox '1;2;3;4'", "did you mean 1,2,3,4?"),
    (f"{PREDICT} --bbox [1,2,3,4]", "did you mean 1,2,3,4?"),
    (f"{PREDICT} --bbox 10,10,0,0", "did you mean 0,0,10,10?"),
    (f"{PREDICT} --bands 3 2 1", "did you mean --bands 3,2,1?"),
    (f"{PREDICT} --bands 1-3", "did you mean 1,2,3?"),
    (f"{PREDICT} --bands RGB", "did you mean 1,2,3?"),
    (f"{PREDICT} --value-range 0-3000", "did you mean 0,3000?"),
    (f"{PREDICT} --classes pool car", "did you mean --classes pool,car?"),
    (f"{PREDICT} --tile-size 512x512", "did you mean 512?"),
    (f"{PREDICT} --tile-size 512 512", "did you mean --tile-size 512?"),
    (f"{PREDICT} --overwrite yes", "--overwrite takes no value, found yes"),
    (f"{PREDICT} --verbose 2", "--verbose takes no value, found 2"),
    (f"{PREDICT} --json out.json", "to keep its output: --json > out.json"),
    (f"{TRAIN} --steps 1e3", "did you mean 1000?"),
    (f"{TRAIN} --minutes 1h", "did you mean 60?"),
    (f"{TRAIN} --lr fast", "expected a number or auto"),
    (f"{REPORT} --title Pools of Nice", "did you mean --title 'Pools of Nice'?"),
    (f"{PREDICT} --conf 50pct", "did you mean 50%?"),
    (f"{PREDICT} --conf=", "--conf is empty"),
    ("predict ''", "RASTER is empty, as a variable of the shell that is not set"),
    (f"{PREDICT} --aoi 1,2,3,4", "did you mean --bbox 1,2,3,4?"),
    (f"{PREDICT} --bbox truth.gpkg", "did you mean --aoi truth.gpkg?"),
    (f"{PREDICT} --classes pool --classes car", "did you mean --classes pool,car?"),
    # choices
    (f"{PREDICT} --precision FP16", "did you mean fp16?"),
    (f"{PREDICT} --precision half", "did you mean fp16?"),
    (f"{PREDICT} --runtime pytorch", "did you mean torch?"),
    (f"{PREDICT} --format gpgk", "did you mean gpkg?"),
    (f"{PREDICT} -o out.geojsn", "did you mean .geojson?"),
    (f"{PREDICT} --model Pools", "did you mean pools?"),
    (f"{TRAIN} --keep bests", "did you mean best?"),
    (f"{REPORT} --imagery outside", "did you mean inside?"),
    (f"{TILE} --labels pools.geojson --format pascal", "did you mean voc?"),
    (f"{TILE} --labels pools.geojson --image-format jpeg", "did you mean jpg?"),
    (f"{TILE} --labels pools.geojson --empty all", "did you mean inf?"),
    (f"{EVALUATE} --pick-threshold precison=0.95", "did you mean precision=0.95?"),
    (f"{EVALUATE} --score-field scor", "did you mean score?"),
    (f"{EVALUATE} --class-field clas", "did you mean class?"),
    ("info pool", "did you mean pools?"),
    ("info truth.gpkg", "truth.gpkg holds no raster; info shows rasters and models"),
    # files
    ("predict scene.tif out.gpkg", "did you mean --output out.gpkg?"),
    ("predict scen.tif", "no such file; did you mean scene.tif?"),
    ("predict scene", "no such file; did you mean scene.tif?"),
    (f"{PREDICT} --aoi truht.gpkg", "did you mean truth.gpkg?"),
    (f"{PREDICT} --aoi scene.tif", "scene.tif is a raster, expected a vector layer"),
    (f"{PREDICT} --model scene.tif", "scene.tif is a raster, expected a model"),
    (f"{PREDICT} pools.geojson", "pools.geojson is a vector layer, expected imagery"),
    (f"{PREDICT} --log-file scene.tif", "scene.tif is no log of geodetect"),
    (f"{PREDICT} -o .", ". is a folder; name a file in it with --output"),
    ("predict 'sheets/*.tif'", "sheets/*.tif matches no file"),
    (f"{PREDICT} --config bad.toml", "unknown key tile_siz; the nearest one is tile_size"),
    ("report scene.tif pools.geojson -o r.html", "were scene.tif and pools.geojson swapped?"),
    ("train --rasters pools.geojson --labels scene.tif", "and scene.tif swapped?"),
    ("preview pools.geojson -o a.png", "name its imagery with --raster"),
    # arguments that are missing or too many
    ("predict -q", "RASTER is missing"),
    ("evaluate pools.geojson", "TRUTH is missing"),
    ("compare pools.geojson", "expected --register or --before, found neither"),
    ("summarize pools.geojson truth.gpkg", "did you mean --zones truth.gpkg?"),
    ("train scene.tif pools.geojson", "did you mean --rasters scene.tif?"),
    ("train --rasters scene.tif", "--labels is missing"),
    ("quantize pools scene.tif -o q.safetensors", "did you mean --rasters scene.tif?"),
    ("info scene.tif pools", "geodetect info takes only FILE"),
    ("models pools", "did you mean geodetect info pools?"),
    ("tile scene.tif --labels pools.geojson", "--output is missing"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mistyped")
    layer = gpd.read_file(write_inputs(path))
    layer.to_file(path / "truth.gpkg")
    layer.assign(score=0.9).to_file(path / "pools.geojson")
    (path / "bad.toml").write_text("tile_siz = 512\n")
    return path


@pytest.mark.parametrize(("call", "answer"), CALLS, ids=[call for call, _ in CALLS])
def test_a_mistyped_call_is_answered_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, answer: str
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = invoke(*shlex.split(call))
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert answer in line
    if "--json" in call:
        assert json.loads(result.stdout)["error"]["message"] == line.removeprefix("Error: ")
    else:
        assert result.stdout == ""
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_with_a_letter_missing_doubled_or_swapped_is_recognised(command: str) -> None:
    program = load_command(command)
    for flag in program.spellings.flags:
        middle = 2 + len(flag[2:]) // 2
        start, end = flag[:middle], flag[middle:]
        swapped = start[:-1] + end[0] + start[-1] + end[1:]
        for typo in (start + end[1:], start + end[0] + end, swapped):
            if len(flag) < 6 or program.spellings.flag(typo):
                continue
            with pytest.raises(UsageError, match=rf"did you mean {flag}\?$"):
                program.make_context(command, [typo])


def test_words_that_look_like_mistakes_and_are_none_are_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers after a list, files called like a value, and units of ground resolution."""
    monkeypatch.chdir(folder)
    plan = (*("predict", "scene.tif", "-m", "squares.safetensors"), "--dry-run")
    for words in (
        ("--gsd", "20cm/px"),
        ("--gsd", "0.2 m / px"),
        ("--bbox=-1e7,-1e7,1e7,1e7",),
        ("--CONF", "70 %"),
        ("--classes", "square,"),
        ("--format", "GeoPackage"),
    ):
        result = invoke(*plan, *words)
        assert result.exit_code == 0, result.stderr
    (folder / "yes").symlink_to(folder / "scene.tif")
    result = invoke("predict", "--dry-run", "yes", "-m", "squares.safetensors")
    (folder / "yes").unlink()
    assert result.exit_code == 0, result.stderr
