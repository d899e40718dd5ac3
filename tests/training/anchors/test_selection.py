"""ModelSelection of the anchors of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geodetect.errors import GeodetectWarning, InputError
from geodetect.io.raster.open_raster import open_raster
from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.file import load_card, write_model_file
from geodetect.model.network.anchor_fit import AnchorShapes, recall_by_size
from geodetect.model.network.presets import network_config
from geodetect.model.network.retinanet import RetinaNet
from geodetect.settings import TrainSettings
from geodetect.training.anchors.selection import LEAST_RECALL, select_anchors
from geodetect.training.data.training_raster import TrainingRaster
from tests.helpers.square_scenes import GSD_M, squares_image, write_raster
from tests.helpers.tiny_model import weights_of
from tests.helpers.training_rasters import training_raster

OURS = network_config("geodetect")
SMALL, COMMON, TINY = 14.0, 40.0, 7.0


def random_squares(path: Path, *, side_px: float) -> TrainingRaster:
    """Squares of this size, all to be trained on."""
    raster = open_raster(write_raster(path, squares_image(256, [])))
    corners = np.random.default_rng(0).uniform(0, 200, (40, 2))
    boxes = np.concatenate([corners, corners + side_px], axis=1)
    return training_raster(raster, boxes)


def chosen(raster: TrainingRaster, *, gsd_m: float = GSD_M, **settings: object) -> NetworkConfig:
    options = TrainSettings.model_validate({"init": "none"} | settings)
    network = network_config(options.network)
    return select_anchors(network, [raster], options, gsd_m=gsd_m)


def recall(config: NetworkConfig, side_px: float) -> float:
    return recall_by_size(np.full((1, 2), side_px), AnchorShapes.from_config(config))[-1].recall


def test_common_sizes_keep_the_default_anchors(tmp_path: Path) -> None:
    assert chosen(random_squares(tmp_path / "a.tif", side_px=COMMON)) == OURS


def test_objects_that_the_default_ones_cannot_find_get_anchors_of_their_own(tmp_path: Path) -> None:
    config = chosen(random_squares(tmp_path / "a.tif", side_px=SMALL))
    assert recall(config, SMALL) > recall(OURS, SMALL) + 0.2
    assert config.strides == OURS.strides


def test_sizes_count_in_pixels_of_the_training(tmp_path: Path) -> None:
    raster = random_squares(tmp_path / "a.tif", side_px=SMALL)
    assert chosen(raster, gsd_m=GSD_M * SMALL / COMMON) == OURS


@pytest.mark.parametrize("network", ["paper", "torchvision", "torchvision-v2"])
def test_published_networks_keep_theirs(network: str, tmp_path: Path) -> None:
    raster = random_squares(tmp_path / "a.tif", side_px=SMALL)
    with pytest.warns(GeodetectWarning, match="at most 0% of .*set `network` to geodetect"):
        assert chosen(raster, network=network) == network_config(network)
    with pytest.raises(
        InputError, match=rf"`anchors` is fitted, but network {network} .*`network` to geod"
    ):
        chosen(raster, network=network, anchors="fitted")


def test_whoever_wants_the_default_ones_is_told_what_they_miss(tmp_path: Path) -> None:
    raster = random_squares(tmp_path / "a.tif", side_px=SMALL)
    share = f"{recall(OURS, SMALL):.0%}"
    with pytest.warns(GeodetectWarning, match=f"at most {share} of .*set `anchors` to fitted"):
        assert chosen(raster, anchors="default") == OURS


def test_objects_that_no_anchors_can_find_need_finer_pixels(tmp_path: Path) -> None:
    with pytest.warns(GeodetectWarning, match=r"^even fitted anchors can find at most .* `gsd`"):
        chosen(random_squares(tmp_path / "a.tif", side_px=TINY))


def test_objects_that_are_too_large_for_all_anchors_need_coarser_pixels(tmp_path: Path) -> None:
    with pytest.warns(GeodetectWarning, match=r"even fitted .* a coarser `gsd` makes") as caught:
        chosen(random_squares(tmp_path / "a.tif", side_px=COMMON), gsd_m=GSD_M * COMMON / 2000)
    assert "finer" not in "".join(str(warning.message) for warning in caught)


def test_fitted_ones_can_be_asked_for(tmp_path: Path) -> None:
    raster = random_squares(tmp_path / "a.tif", side_px=COMMON)
    assert recall(OURS, COMMON) > LEAST_RECALL
    assert chosen(raster, anchors="fitted") != OURS
    assert chosen(raster, anchors="fitted", init="pools") != OURS


def test_a_model_to_start_from_brings_its_anchors(tmp_path: Path) -> None:
    sizes = ((19.0, 25.0, 31.0), *OURS.anchor_sizes_px[1:])
    config = OURS.model_copy(update={"anchor_sizes_px": sizes})
    card = ModelCard(name="start", classes=("thing",), network=config)
    torch.manual_seed(0)
    write_model_file(tmp_path / "start.safetensors", card, weights_of(RetinaNet(config, 1)))
    raster = random_squares(tmp_path / "a.tif", side_px=COMMON)
    assert chosen(raster, init=str(tmp_path / "start.safetensors")) == config
    built_in = load_card("pools").network
    assert built_in is not None
    assert chosen(raster, init="pools").anchor_sizes_px == built_in.anchor_sizes_px


def test_a_trunk_alone_brings_none(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "trunk.safetensors")
    config = chosen(
        random_squares(tmp_path / "a.tif", side_px=SMALL), init=str(tmp_path / "trunk.safetensors")
    )
    assert recall(config, SMALL) > recall(OURS, SMALL)
