"""Object detection on aerial imagery: GeoTIFF in, map layer out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geodetect.version import __version__

if TYPE_CHECKING:
    from geodetect.detection.detections import Detections
    from geodetect.detection.detector import CallableDetector, Detector
    from geodetect.detection.inference import plan, predict
    from geodetect.errors import GeodetectError
    from geodetect.io.vector import write
    from geodetect.learning.training import train
    from geodetect.model.bundle import list_models, load_card
    from geodetect.model.card import ModelCard
    from geodetect.settings import PredictSettings, TrainSettings

_HOMES = {
    "CallableDetector": "geodetect.detection.detector",
    "Detections": "geodetect.detection.detections",
    "Detector": "geodetect.detection.detector",
    "GeodetectError": "geodetect.errors",
    "ModelCard": "geodetect.model.card",
    "PredictSettings": "geodetect.settings",
    "TrainSettings": "geodetect.settings",
    "list_models": "geodetect.model.bundle",
    "load_card": "geodetect.model.bundle",
    "plan": "geodetect.detection.inference",
    "predict": "geodetect.detection.inference",
    "train": "geodetect.learning.training",
    "write": "geodetect.io.vector",
}

__all__ = [
    "CallableDetector",
    "Detections",
    "Detector",
    "GeodetectError",
    "ModelCard",
    "PredictSettings",
    "TrainSettings",
    "__version__",
    "list_models",
    "load_card",
    "plan",
    "predict",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    """Load public names when they are first used, so that importing the package stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
