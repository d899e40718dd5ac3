"""A tiny model with weights set by hand, a scene for it, and the program as a user runs it.

The model finds bright squares of 16 px whose corners lie on odd multiples of 4 px (so that
they are centred on a cell): each once, with exactly its box.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from torch import nn

from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.file import write_model_file
from geodetect.model.network.retinanet import RetinaNet

ROOT = Path(__file__).parents[2]
SQUARE_PX = 16
BRIGHT, DARK = 220, 60
GSD_M = 0.25
ORIGIN_M = (500_000.0, 5_200_000.0)
CRS = "EPSG:32632"
CHANNELS = 9  # no common divisor with 16: one group, whose spread two constant channels fix
FIXED = 100.0

torch.set_num_threads(1)  # on images this small, threads wait for each other longer than they work


def tiny_card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "name": "squares",
        "description": "Bright squares.",
        "classes": ("square",),
        "gsd_m": GSD_M,
        "tile_px": 128,
        "object_size_m": (4.0, 4.0, 4.0),
        "conf": 0.5,
        "iou": 0.3,
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "network": NetworkConfig(
            trunk_stages=2,
            fpn_channels=CHANNELS,
            strides=(8,),
            head_convs=1,
            anchor_sizes_px=((float(SQUARE_PX),),),
            anchor_ratios=(1.0,),
        ),
    }
    return ModelCard.model_validate(values | changes)


@torch.no_grad()
def tiny_network(card: ModelCard) -> RetinaNet:
    """Brightness flows through one channel; a cell scores where it and three neighbours shine."""
    assert card.network is not None
    network = RetinaNet(card.network, len(card.classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
    trunk = network.trunk
    trunk.conv1.weight[0] = 1 / (3 * 49)
    trunk.layer2[0].downsample[0].weight[0, 0] = 1
    fpn = network.pyramid.fpn
    fpn.inner_blocks[0][0].weight[0, 0] = 1
    fpn.layer_blocks[0][0].weight[0, 0, 1, 1] = 1
    fpn.layer_blocks[0][0].bias[1:3] = torch.tensor([FIXED, -FIXED])
    tower = network.classification.tower[0]
    tower.weight[0, 0, 1:, 1:] = 1 / 4
    tower.weight[1, 1, 1, 1] = tower.weight[2, 2, 1, 1] = 1
    spread = FIXED * math.sqrt(2 / CHANNELS)
    output = network.classification.output
    output.weight[0, 0, 1, 1] = 40 * spread
    output.bias[:] = torch.as_tensor(-40 * 0.72)
    return network


def weights_of(network: nn.Module) -> dict[str, NDArray[np.generic]]:
    return {k: v.detach().numpy().astype(np.float16) for k, v in network.state_dict().items()}


def save_tiny_model(path: Path, **changes: object) -> Path:
    card = tiny_card(**changes)
    write_model_file(path, card, weights_of(tiny_network(card)))
    return path


def squares_image(
    side: int, corners: Sequence[tuple[int, int]], *, height: int | None = None
) -> NDArray[np.uint8]:
    """``uint8[3, H, W]`` with a bright square at each corner (x, y)."""
    image = np.full((3, height or side, side), DARK, np.uint8)
    for x, y in corners:
        image[:, y : y + SQUARE_PX, x : x + SQUARE_PX] = BRIGHT
    return image


def grid_corners(side: int, step: int = 48) -> list[tuple[int, int]]:
    return [(x, y) for y in range(4, side - 16, step) for x in range(4, side - 16, step)]


def square_boxes(corners: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """The squares at these corners, ``float64[N, 4]``."""
    return np.array([[x, y, x + SQUARE_PX, y + SQUARE_PX] for x, y in corners], np.float64)


def write_raster(
    path: Path, image: NDArray[np.uint8], *, crs: str | None = CRS, **profile: object
) -> Path:
    count, height, width = image.shape
    place = {} if crs is None else {"crs": crs}
    transform = Affine(GSD_M, 0, ORIGIN_M[0], 0, -GSD_M, ORIGIN_M[1])
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=image.dtype,
        count=count,
        height=height,
        width=width,
        transform=transform,
        **place,
        **profile,
    ) as target:
        target.write(image)
        if count == 3:
            target.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return path


def write_labels(path: Path, boxes: Sequence[Sequence[float]], name: str = "square") -> Path:
    """Boxes in pixels as GeoJSON in the CRS of the raster."""
    features = []
    for x1, y1, x2, y2 in boxes:
        ring = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
        on_map = [[ORIGIN_M[0] + x * GSD_M, ORIGIN_M[1] - y * GSD_M] for x, y in ring]
        geometry = {"type": "Polygon", "coordinates": [on_map]}
        features.append({"type": "Feature", "properties": {"class": name}, "geometry": geometry})
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:{CRS.replace(':', '::')}"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


def program_environment(**variables: str) -> dict[str, str]:
    """The environment of the program under test: this checkout, one thread, no terminal."""
    paths = [str(ROOT), str(ROOT / "cli"), os.environ.get("PYTHONPATH", "")]
    fixed = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    return os.environ | fixed | {"COLUMNS": "100"} | variables


PROGRAM = (sys.executable, "-c", "from geodetect_cli.app import main; main()")


def run_program(
    *arguments: str | Path, cwd: Path | None = None, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd=cwd,
        env=program_environment(**environment),
        timeout=timeout,
        check=False,
    )


def modules_after(code: str) -> set[str]:
    """Names of the modules that are loaded after some code ran in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))
