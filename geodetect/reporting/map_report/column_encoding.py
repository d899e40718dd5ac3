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
    encoded: list[dict[str, Any]] = []
    for name, column in table.items():
        has_value = column.notna().to_numpy()
        values = [value if valid else None for value, valid in zip(column, has_value, strict=True)]
        is_text = False
        if pd.api.types.is_bool_dtype(column.dtype):
            values = [value if value is None else bool(value) for value in values]
        elif pd.api.types.is_numeric_dtype(column.dtype):
            values = [_round_number(value) for value in values]
        else:
            is_text = True
            values = ["" if value is None else str(value) for value in values]
        codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
        encoding: dict[str, Any] = {"values": values}
        if len(codes) == 1 or (is_text and not values):
            encoding = {"constant": values[0] if values else ""}
        elif is_text and len(codes) <= len(values) / 2:
            encoding = {"categories": list(codes), "codes": [codes[text] for text in values]}
        encoded.append({"name": str(name), **encoding})
    return encoded


def to_tenths(values: FloatArray) -> list[int]:
    """Round numbers to whole tenths, which JSON holds in fewer bytes than fractions."""
    return np.rint(values * 10).astype(np.int64).tolist()


def _round_number(value: Any) -> float | int | None:
    """Round a fraction to six digits; keep whole numbers, and drop what JSON cannot hold."""
    if value is None or not math.isfinite(value):
        return None
    rounded = value if float(value).is_integer() else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return int(rounded) if float(rounded).is_integer() else rounded
