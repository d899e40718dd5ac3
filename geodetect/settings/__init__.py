"""Settings of every command: names, types, ranges, defaults and descriptions."""

from geodetect.settings.assessment import CompareSettings, EvaluateSettings, SummarizeSettings
from geodetect.settings.prediction import ModelSettings, PredictSettings
from geodetect.settings.reporting import PictureSettings, PreviewSettings, ReportSettings
from geodetect.settings.training import (
    CheckSettings,
    ChipSettings,
    ConvertSettings,
    QuantizeSettings,
    TrainSettings,
)

__all__ = [
    "CheckSettings",
    "ChipSettings",
    "CompareSettings",
    "ConvertSettings",
    "EvaluateSettings",
    "ModelSettings",
    "PictureSettings",
    "PredictSettings",
    "PreviewSettings",
    "QuantizeSettings",
    "ReportSettings",
    "SummarizeSettings",
    "TrainSettings",
]
