"""Error rates of a detector from an evaluation or a model card."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodetect.assessment.summarize.count_correction import ErrorRates
from geodetect.errors import InputError, list_names
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card
from geodetect.types import PathLike


def error_rates_from_model(model: PathLike | ModelCard) -> ErrorRates:
    """Return the error rates on the card of a model, at the score threshold of the card.

    Args:
        model: Name of a built-in model, path of a model file, or a card. Its metrics must hold
            ``precision``, ``recall`` and ``objects``, as ``train`` writes them, or these with one
            and the same prefix, as in ``cannes_precision``.

    Raises:
        ModelFileError: There is no such model.
        InputError: The card lacks these metrics.
    """
    card = model if isinstance(model, ModelCard) else load_card(model)
    prefixes = [name.removesuffix("recall") for name in card.metrics if name.endswith("recall")]
    prefix = "" if "" in prefixes else prefixes[0] if len(prefixes) == 1 else ""
    numbers = [card.metrics.get(prefix + name) for name in ("precision", "recall", "objects")]
    if None in numbers:
        raise InputError(
            f"the card of model {card.name} has no precision, recall and objects, only "
            f"{list_names(card.metrics) or 'no figures'}; evaluate it and name the result with "
            f"`metrics`, or state `measured_precision`, `measured_recall` and `measured_on`"
        )
    precision, recall, objects = (float(number or 0) for number in numbers)
    return ErrorRates.from_rates(
        precision,
        recall,
        objects,
        score_threshold=card.conf,
        source=f"the card of model {card.name}",
    )


def error_rates_from_evaluation(
    metrics: PathLike | Mapping[str, Any], *, class_name: str | None = None
) -> ErrorRates:
    """Return the error rates at the score threshold of an evaluation.

    Args:
        metrics: The JSON file that ``geodetect evaluate`` prints, or ``Evaluation.as_dict()``. A
            file with ``precision``, ``recall`` and ``support`` (or ``objects``), the number of
            true objects, is enough.
        class_name: Use the metrics of this class if the evaluation has them.

    Raises:
        InputError: The file cannot be read, or lacks these values.
    """
    if isinstance(metrics, Mapping):
        values, source = metrics, "the evaluation"
    else:
        values, source = _read_json(os.fspath(metrics)), os.fspath(metrics)
    metrics_of_class = values.get("overall", values)
    # "classes" in files of earlier versions
    for entry in values.get("metrics_by_class") or values.get("classes") or ():
        if class_name is not None and str(entry.get("class", "")).lower() == class_name.lower():
            metrics_of_class = entry
    point: Mapping[str, Any] = metrics_of_class.get("at_threshold", metrics_of_class)
    threshold = point.get("score_threshold", values.get("score_threshold"))
    score_threshold = None if threshold is None else float(threshold)
    if {"tp", "fp", "fn"} <= point.keys():
        rates = ErrorRates(
            float(point["tp"]),
            float(point["fp"]),
            float(point["fn"]),
            score_threshold=score_threshold,
            source=source,
        )
        ends = point.get("count_error_interval")
        return rates if not ends else rates.with_count_interval(*map(float, ends))
    support = point.get("objects", point.get("support"))
    if None in (point.get("precision"), point.get("recall"), support):
        raise InputError(
            f"{source} holds no precision, recall and number of objects; expected the JSON that "
            f"`geodetect evaluate` prints"
        )
    return ErrorRates.from_rates(
        float(point["precision"]),
        float(point["recall"]),
        float(support),
        score_threshold=score_threshold,
        source=source,
    )


def _read_json(path: str) -> Mapping[str, Any]:
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"`metrics`: {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(
            f"{path} is no JSON ({error}); expected that of `geodetect evaluate`"
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is no JSON object; expected that of `geodetect evaluate`")
    return values
