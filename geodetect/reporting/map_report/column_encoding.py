"""Compact encoding of table columns for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from geodetect.types import FloatArray

SIGNIFICANT_DIGITS = 6


def encode_columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Encode every column in the form that takes the fewest bytes.

    Returns:
        For each column its ``name`` and either ``constant``, the value of all rows; ``values``, one
        per row; or ``categories`` and, per row, the index of one in ``codes``, as in pandas.
        Values are numbers, texts, booleans or None.
    """
    return [{"name": str(name), **_encode_column(column)} for name, column in table.items()]


def to_tenths(values: FloatArray) -> list[int]:
    """Round numbers to whole tenths, which JSON holds in fewer bytes than fractions."""
    return np.rint(values * 10).astype(np.int64).tolist()


def _encode_column(column: pd.Series[Any]) -> dict[str, Any]:
    has_value = column.notna().to_numpy()
    values = [value if valid else None for value, valid in zip(column, has_value, strict=True)]
    if pd.api.types.is_bool_dtype(column.dtype):
        encoded: list[Any] = [value if value is None else bool(value) for value in values]
    elif pd.api.types.is_numeric_dtype(column.dtype):
        encoded = [_round_number(value) for value in values]
    else:
        return _encode_texts(["" if value is None else str(value) for value in values])
    return {"constant": encoded[0]} if len(set(encoded)) == 1 else {"values": encoded}


def _encode_texts(values: list[str]) -> dict[str, Any]:
    codes = {text: code for code, text in enumerate(dict.fromkeys(values))}
    if len(codes) <= 1:
        return {"constant": values[0] if values else ""}
    if len(codes) > len(values) / 2:
        return {"values": values}
    return {"categories": list(codes), "codes": [codes[text] for text in values]}


def _round_number(value: Any) -> float | int | None:
    """Round a fraction to six digits; keep whole numbers, and drop what JSON cannot hold."""
    if value is None or not math.isfinite(value):
        return None
    rounded = value if float(value).is_integer() else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return int(rounded) if float(rounded).is_integer() else rounded
