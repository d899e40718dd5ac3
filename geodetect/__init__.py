"""Object detection on aerial imagery: GeoTIFF in, map layer out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geodetect.version import __version__

if TYPE_CHECKING:
    from geodetect.assessment.counts import ErrorRates
    from geodetect.assessment.evaluation import evaluate, evaluate_model
    from geodetect.assessment.rates import rates_of_metrics, rates_of_model
    from geodetect.assessment.register import compare
    from geodetect.assessment.zones import summarize
    from geodetect.detection.coverage import coverage_table
    from geodetect.detection.detections import Detections
    from geodetect.detection.detector import CallableDetector, Detector
    from geodetect.detection.estimate import Estimate, estimate
    from geodetect.detection.found import FoundObjects
    from geodetect.detection.inference import Tally, find_objects, plan, predict
    from geodetect.detection.journal import Journal
    from geodetect.errors import GeodetectError
    from geodetect.io.inspection import inspect_raster
    from geodetect.io.vector import write
    from geodetect.learning.export import export_chips
    from geodetect.learning.label_check import check
    from geodetect.learning.label_report import LabelReport
    from geodetect.learning.quantization import quantize
    from geodetect.learning.tally import TrainingTally
    from geodetect.learning.training import train
    from geodetect.model.bundle import list_models, load_card
    from geodetect.model.card import ModelCard
    from geodetect.model.convert import convert
    from geodetect.reporting.preview import preview
    from geodetect.reporting.report import ReportSummary, report
    from geodetect.reporting.training_page import write_training_page
    from geodetect.settings import (
        CheckSettings,
        CompareSettings,
        EvaluateSettings,
        PredictSettings,
        PreviewSettings,
        QuantizeSettings,
        ReportSettings,
        SummarizeSettings,
        TrainSettings,
    )

_HOMES = {
    "CallableDetector": "geodetect.detection.detector",
    "CheckSettings": "geodetect.settings",
    "CompareSettings": "geodetect.settings",
    "Detections": "geodetect.detection.detections",
    "Detector": "geodetect.detection.detector",
    "ErrorRates": "geodetect.assessment.counts",
    "Estimate": "geodetect.detection.estimate",
    "EvaluateSettings": "geodetect.settings",
    "FoundObjects": "geodetect.detection.found",
    "GeodetectError": "geodetect.errors",
    "Journal": "geodetect.detection.journal",
    "LabelReport": "geodetect.learning.label_report",
    "ModelCard": "geodetect.model.card",
    "PredictSettings": "geodetect.settings",
    "PreviewSettings": "geodetect.settings",
    "QuantizeSettings": "geodetect.settings",
    "ReportSettings": "geodetect.settings",
    "ReportSummary": "geodetect.reporting.report",
    "SummarizeSettings": "geodetect.settings",
    "Tally": "geodetect.detection.inference",
    "TrainSettings": "geodetect.settings",
    "TrainingTally": "geodetect.learning.tally",
    "check": "geodetect.learning.label_check",
    "compare": "geodetect.assessment.register",
    "convert": "geodetect.model.convert",
    "coverage_table": "geodetect.detection.coverage",
    "estimate": "geodetect.detection.estimate",
    "evaluate": "geodetect.assessment.evaluation",
    "evaluate_model": "geodetect.assessment.evaluation",
    "export_chips": "geodetect.learning.export",
    "find_objects": "geodetect.detection.inference",
    "inspect_raster": "geodetect.io.inspection",
    "list_models": "geodetect.model.bundle",
    "load_card": "geodetect.model.bundle",
    "plan": "geodetect.detection.inference",
    "predict": "geodetect.detection.inference",
    "preview": "geodetect.reporting.preview",
    "quantize": "geodetect.learning.quantization",
    "rates_of_metrics": "geodetect.assessment.rates",
    "rates_of_model": "geodetect.assessment.rates",
    "report": "geodetect.reporting.report",
    "summarize": "geodetect.assessment.zones",
    "train": "geodetect.learning.training",
    "write": "geodetect.io.vector",
    "write_training_page": "geodetect.reporting.training_page",
}

__all__ = [
    "CallableDetector",
    "CheckSettings",
    "CompareSettings",
    "Detections",
    "Detector",
    "ErrorRates",
    "Estimate",
    "EvaluateSettings",
    "FoundObjects",
    "GeodetectError",
    "Journal",
    "LabelReport",
    "ModelCard",
    "PredictSettings",
    "PreviewSettings",
    "QuantizeSettings",
    "ReportSettings",
    "ReportSummary",
    "SummarizeSettings",
    "Tally",
    "TrainSettings",
    "TrainingTally",
    "__version__",
    "check",
    "compare",
    "convert",
    "coverage_table",
    "estimate",
    "evaluate",
    "evaluate_model",
    "export_chips",
    "find_objects",
    "inspect_raster",
    "list_models",
    "load_card",
    "plan",
    "predict",
    "preview",
    "quantize",
    "rates_of_metrics",
    "rates_of_model",
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
