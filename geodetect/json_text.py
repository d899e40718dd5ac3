"""JSON texts, which have no NaN and no infinity (RFC 8259, section 6)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_COMPACT = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
).encode


def compact_json(value: Any) -> str:
    """Return a value as JSON without blanks; NaN and infinity are null, other types texts."""
    try:
        return _COMPACT(value)
    except ValueError:  # rarely, so that most values are passed through once only
        return _COMPACT(finite(value))


def finite(value: Any) -> Any:
    """Return a value with None for NaN and infinity, also inside of mappings and lists."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
