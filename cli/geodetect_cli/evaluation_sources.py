"""What ``evaluate`` compares, and the files it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from geodetect.assessment.evaluate.evaluation import Evaluation
    from geodetect.progress import Progress
    from geodetect.settings import EvaluateSettings, PredictSettings


@dataclass(frozen=True)
class EvaluationSources:
    """Two layers, or a model with rasters and labels.

    Args:
        predictions: File of detections.
        truth: File of true objects.
        model: Name or file of a model.
        rasters: What it runs on.
        labels: Files of true objects there.
    """

    predictions: str | None
    truth: str | None
    model: str | None
    rasters: tuple[str, ...]
    labels: tuple[str, ...]

    def check(self) -> None:
        """Raise a usage error unless this is one of the two."""
        if self.model is None and (self.rasters or self.labels):
            raise typer.BadParameter(
                "--rasters and --labels go with --model; without it name PRED and TRUTH",
                param_hint="--model",
            )
        if self.model is not None and self.predictions is not None:
            raise typer.BadParameter(
                "with --model the rasters and the truth are named with --rasters and --labels",
                param_hint="PRED",
            )
        if self.model is not None and not (self.rasters and self.labels):
            missing = "--labels" if self.rasters else "--rasters"
            raise typer.BadParameter(f"--model needs {missing} too", param_hint=missing)
        if self.model is None and (self.predictions is None or self.truth is None):
            missing = "TRUTH" if self.predictions else "PRED"
            raise typer.BadParameter(
                "name a file of detections and one of true objects, or use --model",
                param_hint=missing,
            )

    def evaluate(
        self, settings: EvaluateSettings, predict_settings: PredictSettings, progress: Progress
    ) -> Evaluation:
        """Compare them."""
        from geodetect.assessment.evaluate.evaluation import evaluate, evaluate_model

        if self.model is None:
            return evaluate(self.predictions or "", self.truth or "", settings)
        return evaluate_model(
            self.model,
            self.rasters,
            self.labels,
            settings,
            predict_settings=predict_settings,
            progress=progress,
        )


@dataclass(frozen=True)
class EvaluationFiles:
    """What is written beside the tables.

    Args:
        errors: GeoPackage of what is true, false and missed.
        plots: Folder of curves.
        overwrite: Replace what exists.
    """

    errors: Path | None
    plots: Path | None
    overwrite: bool

    def check(self) -> None:
        """Raise now what ``write`` would raise after all the work."""
        from geodetect.assessment.evaluate import error_layers, plots

        if self.errors is not None:
            error_layers.check_errors(self.errors, overwrite=self.overwrite)
        if self.plots is not None:
            plots.check_plots(self.plots, overwrite=self.overwrite)

    def write(self, result: Evaluation) -> None:
        """Write them."""
        if self.errors is not None:
            result.write_errors(self.errors, overwrite=self.overwrite)
        if self.plots is not None:
            result.write_plots(self.plots, overwrite=self.overwrite)


def parse_list(text: str | None, option: str) -> tuple[float, ...] | None:
    """``4,8,16`` to numbers."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{option} takes numbers with commas between; found {text!r}"
        ) from None
