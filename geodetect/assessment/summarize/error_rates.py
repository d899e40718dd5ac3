"""Where the error rates of a detector are written down: evaluations and model cards."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodetect.assessment.summarize.count_correction import ErrorRates
from geodetect.errors import InputError
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card
from geodetect.types import PathLike


def rates_of_model(model: PathLike | ModelCard) -> ErrorRates:
    """Error rates from the card of a model.

    Args:
        model: Name of a built-in model, path of a model file, or a card. Its metrics must hold
            ``precision``, ``recall`` and ``objects``, as ``train`` writes them, or these with one
            and the same prefix, as in ``cannes_precision``.

    Returns:
        How the model errs at the threshold of its card.

    Raises:
        ModelFileError: There is no such model.
        InputError: Its card does not tell.
    """
    card = model if isinstance(model, ModelCard) else load_card(model)
    prefixes = [name.removesuffix("recall") for name in card.metrics if name.endswith("recall")]
    prefix = "" if "" in prefixes else prefixes[0] if len(prefixes) == 1 else ""
    numbers = [card.metrics.get(prefix + name) for name in ("precision", "recall", "objects")]
    if None in numbers:
        raise InputError(
            f"the card of model {card.name} has no precision, recall and objects, only "
            f"{', '.join(card.metrics) or 'no figures'}; evaluate it and name the result with "
            f"--metrics, or give --precision, --recall and --support"
        )
    precision, recall, objects = (float(number or 0) for number in numbers)
    return ErrorRates.of_rates(
        precision,
        recall,
        objects,
        score_threshold=card.conf,
        source=f"the card of model {card.name}",
    )


def rates_of_metrics(
    metrics: PathLike | Mapping[str, Any], *, class_name: str | None = None
) -> ErrorRates:
    """Error rates from an evaluation.

    Args:
        metrics: The file that ``geodetect evaluate --json`` prints, or its values
            (``Evaluation.as_dict``). Also a file with just ``precision``, ``recall`` and, as
            ``objects`` or ``support``, the number of true objects.
        class_name: Take the figures of this class, if the evaluation has them.

    Returns:
        How the detector errs at the threshold of the evaluation.

    Raises:
        InputError: It cannot be read, or does not tell.
    """
    if isinstance(metrics, Mapping):
        values, source = metrics, "the evaluation"
    else:
        values, source = _read(os.fspath(metrics)), os.fspath(metrics)
    point = _point(values, class_name)
    if {"right", "false", "missed"} <= point.keys():
        rates = ErrorRates(
            right=float(point["right"]),
            false=float(point["false"]),
            missed=float(point["missed"]),
            score_threshold=_threshold(values, point),
            source=source,
        )
        ends = point.get("count_error_interval")
        return rates if not ends else rates.with_count_interval(*map(float, ends))
    support = point.get("objects", point.get("support"))
    if None in (point.get("precision"), point.get("recall"), support):
        raise InputError(
            f"{source} holds no precision, recall and number of objects; expected what "
            f"`geodetect evaluate --json` prints"
        )
    return ErrorRates.of_rates(
        float(point["precision"]),
        float(point["recall"]),
        float(support),
        score_threshold=_threshold(values, point),
        source=source,
    )


def _read(path: str) -> Mapping[str, Any]:
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); see --metrics") from error
    except ValueError as error:
        raise InputError(
            f"{path} is no JSON ({error}); expected what `geodetect evaluate --json` prints"
        ) from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected what `geodetect evaluate --json` prints (--metrics)")
    return values


def _point(values: Mapping[str, Any], class_name: str | None) -> Mapping[str, Any]:
    """The figures at the score threshold of an evaluation."""
    whole = values.get("overall", values)
    for one in values.get("classes") or ():
        if class_name is not None and str(one.get("class", "")).lower() == class_name.lower():
            whole = one
    point: Mapping[str, Any] = whole.get("at_threshold", whole)
    return point


def _threshold(values: Mapping[str, Any], point: Mapping[str, Any]) -> float | None:
    stated = point.get("score_threshold", values.get("score_threshold"))
    return None if stated is None else float(stated)
