"""Object detection on aerial imagery: GeoTIFF in, map layer out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geodetect.version import __version__

if TYPE_CHECKING:
    from geodetect.assessment.compare.comparison import compare
    from geodetect.assessment.evaluate.evaluation import evaluate, evaluate_model
    from geodetect.assessment.summarize.count_correction import ErrorRates
    from geodetect.assessment.summarize.error_rates import (
        error_rates_from_evaluation,
        error_rates_from_model,
    )
    from geodetect.assessment.summarize.zones import summarize
    from geodetect.chips.export import export_chips
    from geodetect.detection.coverage import coverage_table
    from geodetect.detection.detection_layer import DetectionLayer
    from geodetect.detection.detections import Detections
    from geodetect.detection.detector import CallableDetector, Detector
    from geodetect.detection.estimate import Estimate, estimate
    from geodetect.detection.predict import plan, predict, predict_layer
    from geodetect.detection.predict_to_file import predict_to_file
    from geodetect.detection.run.summary import RunSummary
    from geodetect.errors import GeodetectError
    from geodetect.io.raster.info import inspect_raster
    from geodetect.io.vector.write import write
    from geodetect.label_check.check import check
    from geodetect.label_check.report import LabelReport
    from geodetect.model.card import ModelCard
    from geodetect.model.checkpoints.convert import convert
    from geodetect.model.file import list_models, load_card
    from geodetect.quantization.quantize import quantize
    from geodetect.reporting.map_report.report import ReportSummary, report
    from geodetect.reporting.preview import preview
    from geodetect.reporting.training_report.page import write_training_page
    from geodetect.settings import (
        CheckSettings,
        ChipSettings,
        CompareSettings,
        ConvertSettings,
        EvaluateSettings,
        ModelSettings,
        PredictSettings,
        PreviewSettings,
        QuantizeSettings,
        ReportSettings,
        SummarizeSettings,
        TrainSettings,
    )
    from geodetect.training.run.summary import TrainingSummary
    from geodetect.training.train import train

_HOMES = {
    "CallableDetector": "geodetect.detection.detector",
    "ChipSettings": "geodetect.settings",
    "CheckSettings": "geodetect.settings",
    "ConvertSettings": "geodetect.settings",
    "CompareSettings": "geodetect.settings",
    "Detections": "geodetect.detection.detections",
    "Detector": "geodetect.detection.detector",
    "ErrorRates": "geodetect.assessment.summarize.count_correction",
    "Estimate": "geodetect.detection.estimate",
    "EvaluateSettings": "geodetect.settings",
    "DetectionLayer": "geodetect.detection.detection_layer",
    "GeodetectError": "geodetect.errors",
    "LabelReport": "geodetect.label_check.report",
    "ModelSettings": "geodetect.settings",
    "ModelCard": "geodetect.model.card",
    "PredictSettings": "geodetect.settings",
    "PreviewSettings": "geodetect.settings",
    "QuantizeSettings": "geodetect.settings",
    "ReportSettings": "geodetect.settings",
    "ReportSummary": "geodetect.reporting.map_report.report",
    "SummarizeSettings": "geodetect.settings",
    "RunSummary": "geodetect.detection.run.summary",
    "TrainSettings": "geodetect.settings",
    "TrainingSummary": "geodetect.training.run.summary",
    "check": "geodetect.label_check.check",
    "compare": "geodetect.assessment.compare.comparison",
    "convert": "geodetect.model.checkpoints.convert",
    "coverage_table": "geodetect.detection.coverage",
    "estimate": "geodetect.detection.estimate",
    "evaluate": "geodetect.assessment.evaluate.evaluation",
    "evaluate_model": "geodetect.assessment.evaluate.evaluation",
    "export_chips": "geodetect.chips.export",
    "predict_layer": "geodetect.detection.predict",
    "predict_to_file": "geodetect.detection.predict_to_file",
    "inspect_raster": "geodetect.io.raster.info",
    "list_models": "geodetect.model.file",
    "load_card": "geodetect.model.file",
    "plan": "geodetect.detection.predict",
    "predict": "geodetect.detection.predict",
    "preview": "geodetect.reporting.preview",
    "quantize": "geodetect.quantization.quantize",
    "error_rates_from_evaluation": "geodetect.assessment.summarize.error_rates",
    "error_rates_from_model": "geodetect.assessment.summarize.error_rates",
    "report": "geodetect.reporting.map_report.report",
    "summarize": "geodetect.assessment.summarize.zones",
    "train": "geodetect.training.train",
    "write": "geodetect.io.vector.write",
    "write_training_page": "geodetect.reporting.training_report.page",
}

__all__ = [
    "CallableDetector",
    "CheckSettings",
    "ChipSettings",
    "CompareSettings",
    "ConvertSettings",
    "DetectionLayer",
    "Detections",
    "Detector",
    "ErrorRates",
    "Estimate",
    "EvaluateSettings",
    "GeodetectError",
    "LabelReport",
    "ModelCard",
    "ModelSettings",
    "PredictSettings",
    "PreviewSettings",
    "QuantizeSettings",
    "ReportSettings",
    "ReportSummary",
    "RunSummary",
    "SummarizeSettings",
    "TrainSettings",
    "TrainingSummary",
    "__version__",
    "check",
    "compare",
    "convert",
    "coverage_table",
    "error_rates_from_evaluation",
    "error_rates_from_model",
    "estimate",
    "evaluate",
    "evaluate_model",
    "export_chips",
    "inspect_raster",
    "list_models",
    "load_card",
    "plan",
    "predict",
    "predict_layer",
    "predict_to_file",
    "preview",
    "quantize",
    "report",
    "summarize",
    "train",
    "write",
    "write_training_page",
]


def __getattr__(name: str) -> Any:
    """Load public names when they are first used, so that importing the package stays cheap."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
