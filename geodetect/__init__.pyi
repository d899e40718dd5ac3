"""Public names and the modules they are loaded from when first used."""

from .assessment.calibrate import calibrate
from .assessment.compare.comparison import compare
from .assessment.evaluate.evaluation import evaluate, evaluate_model
from .assessment.summarize.count_correction import ErrorRates
from .assessment.summarize.error_rates import error_rates_from_evaluation, error_rates_from_model
from .assessment.summarize.zones import summarize
from .chips.export import export_chips
from .detection.coverage import coverage_table
from .detection.detection_layer import DetectionLayer, RunSummary
from .detection.detections import Detections
from .detection.detectors.detector import CallableDetector, Detector
from .detection.estimate import Estimate, estimate
from .detection.predict import plan, predict, predict_layer
from .detection.predict_to_file import predict_to_file
from .detection.sharding.merge import merge_to_file
from .detection.sharding.plan_run import plan_to_folder
from .detection.sharding.predict_shards import ShardsSummary, predict_shards
from .detection.sharding.status import RunStatus, run_status
from .errors import GeodetectError
from .io.array_raster import ArrayRaster
from .io.raster.info import inspect_raster
from .io.vector.write import write
from .label_check.check import check
from .label_check.report import LabelReport
from .model.card import ModelCard
from .model.convert import convert
from .model.export.export import export_model
from .model.file import list_models, load_card
from .quantization.quantize import quantize
from .reporting.map_report.report import ReportSummary, report
from .reporting.preview import preview
from .reporting.run_map import draw_run_map
from .reporting.training_report.page import write_training_page
from .settings import (
    CalibrateSettings,
    CheckSettings,
    ChipSettings,
    CompareSettings,
    ConvertSettings,
    EvaluateSettings,
    ExportSettings,
    ModelSettings,
    PredictSettings,
    PreviewSettings,
    QuantizeSettings,
    ReportSettings,
    SummarizeSettings,
    TrainSettings,
)
from .training.run.summary import TrainingSummary
from .training.train import train
from .version import __version__

__all__ = [
    "ArrayRaster",
    "CalibrateSettings",
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
    "ExportSettings",
    "GeodetectError",
    "LabelReport",
    "ModelCard",
    "ModelSettings",
    "PredictSettings",
    "PreviewSettings",
    "QuantizeSettings",
    "ReportSettings",
    "ReportSummary",
    "RunStatus",
    "RunSummary",
    "ShardsSummary",
    "SummarizeSettings",
    "TrainSettings",
    "TrainingSummary",
    "__version__",
    "calibrate",
    "check",
    "compare",
    "convert",
    "coverage_table",
    "draw_run_map",
    "error_rates_from_evaluation",
    "error_rates_from_model",
    "estimate",
    "evaluate",
    "evaluate_model",
    "export_chips",
    "export_model",
    "inspect_raster",
    "list_models",
    "load_card",
    "merge_to_file",
    "plan",
    "plan_to_folder",
    "predict",
    "predict_layer",
    "predict_shards",
    "predict_to_file",
    "preview",
    "quantize",
    "report",
    "run_status",
    "summarize",
    "train",
    "write",
    "write_training_page",
]
