"""Settings of every command: names, types, ranges, defaults and descriptions."""

from geodetect.settings.assessment import (
    CalibrateSettings,
    CompareSettings,
    EvaluateSettings,
    SummarizeSettings,
)
from geodetect.settings.labels import CheckSettings, ChipSettings
from geodetect.settings.models import ConvertSettings, ExportSettings, QuantizeSettings
from geodetect.settings.prediction import ModelSettings, PredictSettings
from geodetect.settings.reporting import DrawingSettings, PreviewSettings, ReportSettings
from geodetect.settings.training import TrainSettings

__all__ = [
    "CalibrateSettings",
    "CheckSettings",
    "ChipSettings",
    "CompareSettings",
    "ConvertSettings",
    "DrawingSettings",
    "EvaluateSettings",
    "ExportSettings",
    "ModelSettings",
    "PredictSettings",
    "PreviewSettings",
    "QuantizeSettings",
    "ReportSettings",
    "SummarizeSettings",
    "TrainSettings",
]
