"""Columns of a table as compact values for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from geodetect.types import FloatArray

DIGITS = 6  # significant ones of numbers that are shown


def encode_columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Every column in the form that takes least room.

    Returns:
        For each column its ``name`` and either ``same``, the value of all rows; ``values``, one
        per row; or ``texts`` and, per row, their number in ``codes``. Values are numbers, texts,
        truth values or None.
    """
    return [{"name": str(name), **_encode(column)} for name, column in table.items()]


def tenths(values: FloatArray) -> list[int]:
    """Numbers as whole tenths."""
    return np.rint(values * 10).astype(np.int64).tolist()


def _encode(column: pd.Series[Any]) -> dict[str, Any]:
    there = column.notna().to_numpy()
    values = [value if known else None for value, known in zip(column, there, strict=True)]
    if pd.api.types.is_bool_dtype(column.dtype):
        plain: list[Any] = [value if value is None else bool(value) for value in values]
    elif pd.api.types.is_numeric_dtype(column.dtype):
        plain = [_number(value) for value in values]
    else:
        return _encode_texts(["" if value is None else str(value) for value in values])
    return {"same": plain[0]} if len(set(plain)) == 1 else {"values": plain}


def _encode_texts(values: list[str]) -> dict[str, Any]:
    number = {text: code for code, text in enumerate(dict.fromkeys(values))}
    if len(number) <= 1:
        return {"same": values[0] if values else ""}
    if len(number) > len(values) / 2:
        return {"values": values}
    return {"texts": list(number), "codes": [number[text] for text in values]}


def _number(value: Any) -> float | int | None:
    """A number JSON can hold, rounded: whole numbers stay exact."""
    if value is None or not math.isfinite(value):
        return None
    rounded = value if float(value).is_integer() else float(f"{value:.{DIGITS}g}")
    return int(rounded) if float(rounded).is_integer() else rounded
