"""Model files with an int8-quantized network: calibrated, checked, written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import geodetect
from geodetect.detection.detectors.load import load_detector
from geodetect.detection.plan_rasters import plan_rasters
from geodetect.errors import InputError, MissingDependencyError, ModelFileError, OutputError
from geodetect.hardware.cpu import has_int8_units
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card, read_model_file
from geodetect.model.runtimes.openvino import MAX_INT8_LOSS
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.quantization.quantize import quantize, sample_tiles
from geodetect.settings import PredictSettings, QuantizeSettings
from tests.helpers.onnx_detectors import write_cell_detector
from tests.helpers.quantizable_model import (
    CORNERS,
    PLAIN,
    need_nncf,
    save_plain_model,
    write_squares,
)
from tests.helpers.square_scenes import write_raster
from tests.helpers.tiny_model import save_tiny_model

FEW = QuantizeSettings(tiles=12)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantized")
    save_plain_model(path / "full.safetensors", metrics={"ap50": 0.5})
    write_squares(path / "scene.tif")
    return path


@pytest.fixture(scope="module")
def calls() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def card(files: Path, calls: list[tuple[int, int]]) -> ModelCard:
    need_nncf()
    return quantize(
        files / "full.safetensors",
        files / "scene.tif",
        files / "both.safetensors",
        settings=FEW,
        progress=lambda completed, total: calls.append((completed, total)),
    )


def test_the_card_states_how_close_the_int8_network_is(card: ModelCard, files: Path) -> None:
    assert card == load_card(files / "both.safetensors")
    assert card.int8 is not None
    assert (card.int8.calibration_tiles, card.int8.checked_tiles) == (6, 6)
    assert card.int8.objects >= 20
    assert card.int8.ap50 >= card.int8.ap75 > 0.97
    assert "nncf" in card.int8.made_with


def test_everything_else_of_the_model_stays_as_it_was(card: ModelCard, files: Path) -> None:
    before, weights = read_model_file(files / "full.safetensors")
    _, after = read_model_file(files / "both.safetensors")
    assert card.model_copy(update={"int8": None}) == before
    parameters = network_parameters(after)
    assert parameters.keys() == weights.keys()
    assert all(np.array_equal(parameters[name], weights[name]) for name in weights)


def test_predict_in_int8_finds_the_same_squares(card: ModelCard, files: Path) -> None:
    scene, model = files / "scene.tif", files / "both.safetensors"
    small, full = (
        geodetect.predict(scene, model, settings=PredictSettings(device="cpu", precision=name))
        for name in ("int8", "fp32")
    )
    assert len(small) == len(full) == len(CORNERS)
    assert small.geometry.distance(full.geometry).max() == 0
    assert (small["score"] != full["score"]).any(), "another network did it"


def test_progress_is_called_once_for_every_tile(
    card: ModelCard, calls: list[tuple[int, int]]
) -> None:
    assert calls == [(completed, 12) for completed in range(1, 13)]


def test_a_model_may_be_replaced_by_itself_with_both_networks(
    card: ModelCard, files: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes((files / "both.safetensors").read_bytes())
    again = quantize(path, files / "scene.tif", path, settings=FEW, overwrite=True)
    assert again == card == load_card(path)


def test_a_network_that_comes_out_far_off_is_refused_unless_accepted(
    files: Path, tmp_path: Path
) -> None:
    need_nncf()
    wide = save_tiny_model(tmp_path / "wide.safetensors")  # brightness beside constants of 100
    target = tmp_path / "both.safetensors"
    with pytest.raises(InputError, match=r"is only 0\.\d+ .* objects\), .* 0\.97;.*`min_ap`"):
        quantize(wide, files / "scene.tif", target, settings=FEW)
    assert not target.exists()
    accepted = quantize(
        wide,
        files / "scene.tif",
        target,
        settings=FEW.model_copy(update={"min_ap": 0.0}),
    )
    assert accepted.int8 is not None
    assert accepted.int8.ap50 < 0.97


def test_imagery_without_objects_cannot_check_anything(files: Path, tmp_path: Path) -> None:
    need_nncf()
    noise = np.random.default_rng(3).integers(40, 80, (3, 256, 256), dtype=np.uint8)
    empty = write_raster(tmp_path / "empty.tif", noise)
    with pytest.raises(InputError, match=r"finds nothing in 2 tiles .* `rasters`"):
        quantize(files / "full.safetensors", empty, tmp_path / "m.safetensors", settings=FEW)


def test_a_network_from_onnx_is_quantized_too(tmp_path: Path) -> None:
    """Bright cells of 8 px in tiles of 64 px; boxes do not pass the quantized layers."""
    need_nncf()
    model = tmp_path / "cells.safetensors"
    geodetect.convert(write_cell_detector(tmp_path / "cells.onnx"), model, classes="a,b")
    rng = np.random.default_rng(0)
    is_bright = (rng.uniform(size=(32, 32)) < 0.1).repeat(8, axis=0).repeat(8, axis=1)
    pixels = np.where(is_bright, 210, 50) + rng.integers(-9, 10, (3, 256, 256))
    pixels = pixels.astype(np.uint8)
    scene = write_raster(tmp_path / "cells.tif", pixels)
    card = quantize(model, scene, model, settings=FEW, overwrite=True)
    assert card.int8 is not None
    assert card.int8.objects > 20
    assert card.int8.loss < MAX_INT8_LOSS
    tile, valid = pixels[None, :, :64, :64], np.ones((1, 64, 64), bool)
    (small,), (full,) = (
        load_detector(model, precision=name, conf=0.05)(tile, valid) for name in ("int8", "fp32")
    )
    np.testing.assert_array_equal(small.boxes, full.boxes)
    np.testing.assert_allclose(small.scores, full.scores, atol=0.05)
    assert (small.scores != full.scores).any(), "another network did it"
    auto = load_detector(model)
    assert auto.runs_on == f"OpenVINO {'int8' if has_int8_units() else 'fp32'} on cpu"


def test_samples_are_drawn_without_repeating_and_the_same_again(files: Path) -> None:
    settings = PredictSettings(overlap=0)
    plans = [plan for _ in range(2) for plan in plan_rasters(files / "scene.tif", PLAIN, settings)]
    drawn = sample_tiles(plans, 20, seed=4)
    places = [(plans.index(sample.plan), sample.tile.index) for sample in drawn]
    assert len(set(places)) == 20
    assert {raster for raster, _ in places} == {0, 1}
    assert drawn == sample_tiles(plans, 20, seed=4) != sample_tiles(plans, 20, seed=5)
    everything = sample_tiles(plans, 1000, seed=0)
    tiles = [sample.tile for sample in everything if sample.plan is plans[1]]
    assert sorted(tiles, key=lambda tile: tile.index) == list(plans[1].scheme)


def test_tiles_that_are_mostly_without_imagery_are_not_drawn(tmp_path: Path) -> None:
    pixels = np.full((3, 256, 256), 90, np.uint8)
    pixels[:, :, 128:] = 0
    pixels[:, 128:, 100:] = 0
    path = write_raster(tmp_path / "half.tif", pixels, nodata=0)
    plans = plan_rasters(path, PLAIN, PredictSettings(overlap=0))
    assert sorted(sample.tile.index for sample in sample_tiles(plans, 9, seed=0)) == [0, 2]
    path = write_raster(tmp_path / "none.tif", np.zeros((3, 256, 256), np.uint8), nodata=0)
    with pytest.raises(InputError, match="imagery for the most part"):
        sample_tiles(plan_rasters(path, PLAIN, PredictSettings()), 9, seed=0)


def test_targets_that_cannot_be_are_refused_before_any_work(files: Path, tmp_path: Path) -> None:
    model, scene = files / "full.safetensors", files / "scene.tif"
    with pytest.raises(OutputError, match=r"ends in \.safetensors"):
        quantize(model, scene, tmp_path / "m.xml")
    with pytest.raises(OutputError, match="already exists; set `overwrite` to replace it"):
        quantize(model, scene, model)
    with pytest.raises(OutputError, match="does not exist"):
        quantize(model, scene, tmp_path / "no" / "m.safetensors")


def test_a_missing_model_or_extra_is_an_error_before_any_work(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m.safetensors"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "nncf", None)
        with pytest.raises(MissingDependencyError, match=r"geodetect\[int8\]"):
            quantize(files / "full.safetensors", files / "scene.tif", target)
    need_nncf()
    with pytest.raises(ModelFileError, match="no model 'giraffes'"):
        quantize("giraffes", files / "scene.tif", target)
