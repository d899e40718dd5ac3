"""Tables of names and values of any command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from geodetect_cli import console

MAX_CRS_CHARACTERS = 30  # codes such as EPSG:2154; WKT is longer


def show_values(title: str, values: Mapping[str, Any], *, out: Console | None = None) -> None:
    """Show names and values, nested ones on their own lines.

    Args:
        title: Title of the table.
        values: Texts and numbers, and mappings and lists of them.
        out: Console to write to, with long values unbroken in pipes and files; None: the output
            stream, with long values broken into lines.
    """
    console.show_table(title, _flatten(values), out=out or console.SafeConsole(), wrap=out is None)


def without_wkt(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without a CRS in WKT."""
    crs = values.get("crs")
    is_long = crs is not None and len(crs) >= MAX_CRS_CHARACTERS
    return {name: value for name, value in values.items() if name != "crs" or not is_long}


def _join_values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows += _flatten(value, f"{name}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            rows.append((name, "\n".join(map(_join_values, value))))
        elif isinstance(value, list | tuple):
            items = list(map(str, value))
            between = "\n" if any("," in item for item in items) else ", "
            rows.append((name, between.join(items) or "-"))
        else:
            rows.append((name, "-" if value is None or value == {} or value == "" else str(value)))
    return rows
