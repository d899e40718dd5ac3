"""The outline head."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from rasterio.features import rasterize
from torch.nn.functional import avg_pool2d
from torchvision.ops import roi_align

from geodetect.geo.contours import outline_masks
from geodetect.model.card import NetworkConfig, OutlineConfig
from geodetect.model.network.outline_head import OutlineHead
from geodetect.model.network.retinanet import RetinaNet
from geodetect.training.anchors.assignment import MaskTarget, Target
from geodetect.training.data.mask_targets import mask_target
from geodetect.training.losses import outline_loss

SMALL = NetworkConfig(
    trunk_stages=2, fpn_channels=16, strides=(8, 16), anchor_sizes_px=((16.0,), (32.0,))
)
SIDE = 128


def targets_and_features(
    shape: shapely.Geometry, config: OutlineConfig, seed: int
) -> tuple[Target, torch.Tensor]:
    """An outline, and its picture at stride 4 as features."""
    image = torch.from_numpy(rasterize([shape], (SIDE, SIDE), dtype=np.uint8)).float()
    features = avg_pool2d(image[None], 4).repeat_interleave(config.channels, dim=2)
    boxes = np.array([shape.bounds])
    frame = np.array([0.0, 0, SIDE, SIDE])
    rng = np.random.default_rng(seed)
    masks = mask_target(boxes, np.array([shape], dtype=object), frame, config, rng)
    nothing = torch.empty(0, 4)
    return Target(torch.tensor(boxes).float(), torch.zeros(1).long(), nothing, masks), features


def test_it_learns_to_draw_what_its_features_show() -> None:
    torch.manual_seed(0)
    config = OutlineConfig(channels=4, head_channels=16, head_convs=1)
    head = OutlineHead(config)
    optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    for step in range(120):
        centre, half = rng.uniform(40, 88, 2), rng.uniform(10, 30, 2)
        box = shapely.box(*(centre - half), *(centre + half))
        shape = shapely.affinity.rotate(box, rng.uniform(0, 180))
        target, features = targets_and_features(shape, config, step)
        loss = outline_loss(head, features, [target])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    shape = shapely.affinity.rotate(shapely.box(40, 50, 90, 76), 30)
    target, features = targets_and_features(shape, config, 0)
    boxes = target.masks.boxes
    with torch.inference_mode():
        masks = head(features, boxes).sigmoid().numpy()
    (outline,) = outline_masks(masks, boxes.double().numpy())
    assert outline.intersection(shape).area / outline.union(shape).area > 0.85


def test_its_features_of_boxes_are_those_of_roi_align() -> None:
    head = OutlineHead(OutlineConfig(channels=4))
    features = torch.rand(1, 32, 48 * 4)
    boxes = torch.tensor([[20.0, 20, 60, 60], [8.5, 70, 150, 120.5], [100, 4, 110, 9]])
    expected = roi_align(
        features.reshape(1, 32, 48, 4).permute(0, 3, 1, 2).contiguous(),
        [boxes],
        head.config.cells,
        spatial_scale=1 / 4,
        sampling_ratio=1,
        aligned=True,
    )
    torch.testing.assert_close(head.pool(features, boxes), expected, atol=1e-5, rtol=1e-5)
    assert head(features, boxes).shape == (3, 28, 28)


def test_masks_of_several_chips_have_the_loss_of_each() -> None:
    """The mean over all masks, whatever the chips they are in."""
    config = OutlineConfig(channels=4)
    head = OutlineHead(config)
    shapes = [shapely.box(20, 20, 60, 50), shapely.Point(70, 60).buffer(20)]
    targets, features = zip(
        *(targets_and_features(shape, config, 1) for shape in shapes), strict=True
    )
    losses = [outline_loss(head, f, [t]) for f, t in zip(features, targets, strict=True)]
    together = outline_loss(head, torch.cat(features), list(targets))
    assert together.item() == pytest.approx(sum(loss.item() for loss in losses) / 2, rel=1e-4)


def test_without_masks_its_loss_and_its_gradients_are_zero() -> None:
    head = OutlineHead(OutlineConfig(channels=4))
    features = torch.rand(1, 16, 16 * 4, requires_grad=True)
    empty = torch.empty(0, 4)
    target = Target(empty, torch.empty(0).long(), empty, MaskTarget.empty())
    loss = outline_loss(head, features, [target])
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


@pytest.mark.parametrize("size", [(64, 64), (80, 112)])
def test_boxes_and_scores_do_not_depend_on_it(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = RetinaNet(SMALL, 1).eval()
    network = RetinaNet(SMALL.model_copy(update={"outline": OutlineConfig()}), 1).eval()
    missing, unexpected = network.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith("outline") for name in missing)
    assert not unexpected
    images = torch.rand(2, 3, *size)
    with torch.inference_mode():
        expected = plain(images)
        logits, deltas, features = network(images, with_outlines=True)
    assert torch.equal(logits, expected[0])
    assert torch.equal(deltas, expected[1])
    assert features.shape == (2, size[0] // 4, size[1] // 4 * 32)
