"""Statuses of objects in a layer of changes, as ``compare`` writes it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from geodetect.assessment.change_statuses import (
    CONFIRMED,
    EARLIER,
    MOVED,
    NOT_SEARCHED,
    REGISTER,
    ReferenceKind,
)
from geodetect.assessment.compare.change_layer import status_symbols
from geodetect.io.vector.features import find_column
from geodetect.io.vector.qgis_style import GREY, Colour
from geodetect.types import BoolArray

STATUS, DISTANCE = "status", "distance_m"  # columns by which changes are recognised


@dataclass(frozen=True)
class Status:
    """Status of an object in a layer of changes.

    Args:
        name: The word in the column ``status``.
        text: Meaning in words.
        colour: Colour of the outline, that of the QGIS style of ``compare``.
        dashed: There is no prediction, only a feature of the register or of the earlier year.
        detected: There is a prediction.
    """

    name: str
    text: str
    colour: Colour
    dashed: bool = False
    detected: bool = True


def find_statuses(table: pd.DataFrame) -> tuple[Status, ...]:
    """Return the statuses of a layer of changes, in the order in which they are worked on.

    Objects that only one of the layers holds come first, confirmed ones last. Words that
    ``compare`` does not write, as somebody's "checked", follow in grey.

    Args:
        table: Any layer; one of changes has a column ``status`` with words of ``compare``, and
            nothing but these unless it also has a column ``distance_m``.

    Returns:
        Empty if the layer holds no changes.
    """
    column = find_column(table, STATUS)
    if column is None:
        return ()
    words = {str(word) for word in table[column].dropna().unique()}
    uses_earlier = bool(words & {EARLIER.added, EARLIER.removed})
    kind = EARLIER if uses_earlier else REGISTER
    known_statuses = _list_statuses(kind)
    other = sorted(words - {status.name for status in known_statuses})
    if len(other) == len(words) or (other and find_column(table, DISTANCE) is None):
        return ()
    has_gaps = bool(table[column].isna().any())
    statuses = [status for status in known_statuses if status.name in words]
    statuses += [Status(word, "a status of somebody else", GREY) for word in other]
    return (*statuses, *([Status("", "without a status", GREY)] if has_gaps else []))


def status_words(table: pd.DataFrame) -> pd.Series[str]:
    """Return the status of each row of a layer of changes, blank where there is none."""
    return table[str(find_column(table, STATUS))].fillna("").astype(str)


def is_detected(table: pd.DataFrame, statuses: tuple[Status, ...]) -> BoolArray:
    """Return True for the rows of a layer of changes that have a prediction, ``bool[N]``."""
    words = [status.name for status in statuses if status.detected]
    return status_words(table).isin(words).to_numpy(bool)


def _list_statuses(kind: ReferenceKind) -> list[Status]:
    """Return all statuses of a kind of comparison, in the order in which they are worked on."""
    layer = kind.role.name
    texts = {
        kind.added: f"detected, but not in {layer}",
        kind.removed: f"in {layer}, but not detected",
        MOVED: f"detected beside the place in {layer}",
        NOT_SEARCHED: f"in {layer}, where nothing was searched",
        CONFIRMED: f"detected, and in {layer}",
    }
    symbols = status_symbols(kind)
    undetected = (kind.removed, NOT_SEARCHED)
    return [
        Status(word, text, symbols[word].colour, word in undetected, word not in undetected)
        for word, text in texts.items()
    ]
