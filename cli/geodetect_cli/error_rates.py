"""Which of the options of ``summarize`` tells how the detector errs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from geodetect.assessment.summarize.count_correction import ErrorRates


def chosen_rates(
    *,
    model: str | None,
    metrics: Path | None,
    numbers: tuple[float | None, float | None, int | None],
    classes: Sequence[str] | None,
) -> ErrorRates | None:
    """The error rates that the options state; None if none does.

    Args:
        model: Name or file of a model.
        metrics: File of an evaluation.
        numbers: Precision, recall and support.
        classes: What is counted; of one class, the evaluation of that class counts.
    """
    stated = [model is not None, metrics is not None, any(n is not None for n in numbers)]
    if sum(stated) > 1:
        raise typer.BadParameter("name one of --model, --metrics, or --precision and --recall")
    if model is None and metrics is None and not stated[2]:
        return None
    from geodetect.assessment.summarize.count_correction import ErrorRates
    from geodetect.assessment.summarize.error_rates import rates_of_metrics, rates_of_model

    if model is not None:
        return rates_of_model(model)
    if metrics is not None:
        only = classes[0] if classes is not None and len(classes) == 1 else None
        return rates_of_metrics(metrics, class_name=only)
    precision, recall, support = numbers
    if precision is None or recall is None or support is None:
        raise typer.BadParameter(
            "--precision, --recall and --support go together: what share was right, what share was "
            "found, and of how many true objects"
        )
    return ErrorRates.of_rates(precision, recall, support, source="--precision and --recall")
