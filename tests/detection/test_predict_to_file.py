"""Predictions as files, from Python."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.run.journal import Journal
from geodetect.errors import (
    GeoreferenceError,
    IncompleteWarning,
    InputError,
    OutputError,
    RasterError,
)
from tests.conftest import Save
from tests.helpers.painted_scenes import mixed, read_colours
from tests.helpers.sheets import cut_into_sheets, damage_pixels

COLOURS = CallableDetector(read_colours, identity="colours")
SETTINGS = PredictSettings(tile_size=64, overlap=40)  # 15 x 15 tiles


def test_the_file_holds_the_table_and_the_layer_its_summary(painted: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    layer = geodetect.predict_to_file(painted, path, COLOURS, settings=SETTINGS)
    table = geodetect.predict(painted, COLOURS, settings=SETTINGS)
    assert gpd.read_file(path, layer="detections")["id"].tolist() == table["id"].tolist()
    assert layer.table().equals(table)
    assert layer.summary.tiles == 225
    assert [raster_plan.raster for raster_plan in layer.coverage] == ["scene.tif"]
    assert gpd.read_file(path, layer="coverage")["status"].tolist() == ["searched"]
    assert [file.name for file in tmp_path.iterdir() if "journal" in file.name] == []


def test_a_stream_gets_geojson(painted: Path, tmp_path: Path) -> None:
    stream, ground = io.StringIO(), tmp_path / "ground.geojson"
    layer = geodetect.predict_to_file(painted, stream, COLOURS, settings=SETTINGS, coverage=ground)
    assert len(json.loads(stream.getvalue())["features"]) == len(layer)
    assert len(gpd.read_file(ground)) == 1
    with pytest.raises(InputError, match="without `crs`, `format` and `style`"):
        geodetect.predict_to_file(painted, stream, COLOURS, style=True)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_an_interrupted_run_resumes_and_writes_the_same_bytes(
    suffix: str, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, resumed = tmp_path / f"whole.{suffix}", tmp_path / f"resumed.{suffix}"
    geodetect.predict_to_file(painted, whole, COLOURS, settings=SETTINGS)
    add = Journal.add

    def interrupt(journal: Journal, *arguments: object) -> None:
        add(journal, *arguments)  # type: ignore[arg-type]
        if len(journal) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", interrupt)
        with pytest.raises(KeyboardInterrupt, match="run the same again to resume"):
            geodetect.predict_to_file(painted, resumed, COLOURS, settings=SETTINGS)
    layer = geodetect.predict_to_file(painted, resumed, COLOURS, settings=SETTINGS)
    assert layer.summary.resumed_tiles == 45
    assert resumed.read_bytes() == whole.read_bytes()


class CountingColours:
    """The toy detector, which counts its tiles."""

    def __init__(self) -> None:
        self.tiles = 0

    def __call__(self, image: Any) -> Any:
        self.tiles += 1
        return read_colours(image)


@pytest.mark.parametrize(("tile_px", "is_long"), [(64, True), (200, False)], ids=["long", "short"])
def test_the_same_run_again_fills_holes_and_replaces_its_own_file(
    tile_px: int, is_long: bool, save: Save, tmp_path: Path
) -> None:
    sheets = cut_into_sheets(
        save, mixed(400, seed=3, largest=30).pixels, columns=2, compress="deflate"
    )
    settings = PredictSettings(tile_size=tile_px, overlap=30)
    whole, filled = tmp_path / "whole.gpkg", tmp_path / "filled.gpkg"
    geodetect.predict_to_file(sheets, whole, COLOURS, settings=settings)
    repair = damage_pixels(sheets[3])
    for _ in range(2):
        with pytest.warns(IncompleteWarning, match=r"left out: .*1_1\.tif"):
            layer = geodetect.predict_to_file(sheets, filled, COLOURS, settings=settings)
    coverage = gpd.read_file(filled, layer="coverage")
    assert "not read" in set(coverage["status"])
    repair()
    fn = CountingColours()
    detector = CallableDetector(fn, identity="colours")
    geodetect.predict_to_file(sheets, filled, detector, settings=settings)
    assert filled.read_bytes() == whole.read_bytes()
    assert (fn.tiles < layer.summary.tiles) == is_long, "a short run reads all again"
    assert {path.name for path in tmp_path.glob("*.gpkg*")} == {"whole.gpkg", "filled.gpkg"}


def test_a_raster_that_cannot_be_opened_is_left_out_of_several(save: Save, tmp_path: Path) -> None:
    sheets = cut_into_sheets(save, mixed(200, seed=3, largest=30).pixels, columns=2)
    content = sheets[2].read_bytes()
    sheets[2].write_bytes(b"")
    run = tmp_path / "run"
    with pytest.warns(IncompleteWarning, match=r"left out: .*1_0\.tif: not a raster"):
        layer = geodetect.predict_to_file(sheets, tmp_path / "o.gpkg", COLOURS)
    with pytest.warns(IncompleteWarning, match=r"left out: .*1_0\.tif: not a raster"):
        geodetect.plan_to_folder(sheets, run, COLOURS)
    geodetect.predict_shards(run, COLOURS)
    with pytest.warns(IncompleteWarning, match=r"left out: .*1_0\.tif: not a raster"):
        merged = geodetect.merge_to_file(run, tmp_path / "merged.gpkg")
    assert list(layer.summary.left_out) == list(merged.summary.left_out) == [str(sheets[2])]
    assert (tmp_path / "merged.gpkg").read_bytes() == (tmp_path / "o.gpkg").read_bytes()
    with pytest.raises(RasterError, match=r"1_0\.tif: not a raster"):
        geodetect.predict_to_file(sheets, tmp_path / "s.gpkg", COLOURS, strict=True)
    sheets[2].unlink()
    with pytest.raises(RasterError, match=r"1_0\.tif: no such file"):
        geodetect.predict_to_file(sheets, tmp_path / "s.gpkg", COLOURS)
    sheets[2].write_bytes(content)
    geodetect.predict_to_file(sheets, tmp_path / "o.gpkg", COLOURS, overwrite=True)
    assert set(gpd.read_file(tmp_path / "o.gpkg")["raster"]) == {sheet.name for sheet in sheets}


def test_strict_ends_a_run_at_a_raster_that_cannot_be_read(save: Save, tmp_path: Path) -> None:
    sheets = cut_into_sheets(
        save, mixed(200, seed=3, largest=30).pixels, columns=2, compress="deflate"
    )
    damage_pixels(sheets[0])
    with pytest.raises(RasterError, match=r"0_0\.tif: cannot read"):
        geodetect.predict_to_file(sheets, tmp_path / "o.gpkg", COLOURS, strict=True)
    assert not (tmp_path / "o.gpkg").exists()


def test_a_file_that_exists_is_refused_before_any_tile_is_read(
    painted: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        geodetect.predict_to_file(painted, path, lambda *_: 1 / 0, settings=SETTINGS)
    geodetect.predict_to_file(painted, path, COLOURS, settings=SETTINGS, overwrite=True)
    assert path.read_text() != "mine"


def test_no_journal_is_kept_where_none_is_wanted(painted: Path, tmp_path: Path) -> None:
    toy = CallableDetector(read_colours)  # a journal would need its identity
    with pytest.raises(InputError, match="identity"):
        geodetect.predict_to_file(painted, tmp_path / "a.csv", toy, settings=SETTINGS)
    geodetect.predict_to_file(painted, tmp_path / "a.csv", toy, settings=SETTINGS, journal=False)


LOCAL = 'LOCAL_CS["Site grid",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("a.geojson", {}),
        ("a.geojsonl", {}),
        ("a.csv", {}),
        ("a.gpkg", {"crs": "EPSG:4326"}),
        ("a.gpkg", {"coverage": "ground.geojson"}),
        (None, {}),
    ],
)
def test_a_local_crs_is_refused_before_the_first_tile_where_the_output_needs_another(
    output: str | None, options: dict[str, str], save: Save, tmp_path: Path
) -> None:
    path = save(np.random.default_rng(0).integers(0, 255, (3, 60, 60)).astype(np.uint8), crs=LOCAL)
    if "coverage" in options:
        options = {"coverage": str(tmp_path / options["coverage"])}
    detector = CallableDetector(lambda _: 1 / 0, identity="fails")  # type: ignore[arg-type]
    target = io.StringIO() if output is None else tmp_path / output
    message = (
        r"no conversion from Site grid to WGS 84; .* without `crs`, \.gpkg, \.fgb, \.parquet, "
        r"\.shp files keep .*`pixel_coords`"
    )
    with pytest.raises(GeoreferenceError, match=message):
        geodetect.predict_to_file(path, target, detector, **options)  # type: ignore[arg-type]
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]


@pytest.mark.parametrize("output", ["a.gpkg", "a.fgb", "a.shp", "a.parquet"])
def test_files_with_a_crs_keep_a_local_one(output: str, painted: Path, tmp_path: Path) -> None:
    settings = PredictSettings(src_crs=LOCAL)
    layer = geodetect.predict_to_file(painted, tmp_path / output, COLOURS, settings=settings)
    read = gpd.read_parquet if output.endswith("parquet") else gpd.read_file
    table = read(tmp_path / output)
    assert len(table) == len(layer) > 0
    assert table.crs.name == "Site grid"


def test_rasters_that_share_no_map_are_refused_before_the_first_tile(save: Save) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 60, 60)).astype(np.uint8)
    paths = [save(pixels, "a.tif"), save(pixels, "b.tif", crs=LOCAL)]
    detector = CallableDetector(lambda _: 1 / 0)  # type: ignore[arg-type]
    with pytest.raises(GeoreferenceError, match="no conversion from Site grid to RGF93"):
        geodetect.predict(paths, detector)
