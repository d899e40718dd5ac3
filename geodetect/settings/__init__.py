"""What can be set, with its defaults."""

from geodetect.settings.assessment import CompareSettings, EvaluateSettings, SummarizeSettings
from geodetect.settings.prediction import PredictSettings
from geodetect.settings.reporting import PictureSettings, PreviewSettings, ReportSettings
from geodetect.settings.training import CheckSettings, QuantizeSettings, TrainSettings

__all__ = [
    "CheckSettings",
    "CompareSettings",
    "EvaluateSettings",
    "PictureSettings",
    "PredictSettings",
    "PreviewSettings",
    "QuantizeSettings",
    "ReportSettings",
    "SummarizeSettings",
    "TrainSettings",
]
