"""Places of the drawn sample, and of imagery that is not part of the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_data/neighbourhood.tif"
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data/pools"
BACKBONE_WEIGHTS = SHARED / "weights/resnet18_imagenet_to_layer3.safetensors"
