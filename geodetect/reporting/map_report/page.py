"""The report page: one HTML file with data, style and script, which needs no other file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from geodetect.reporting.html.template import render

# characters that end a script element, or a line of a script, are written as \uXXXX
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render_report(
    title: str,
    payload: Mapping[str, Any],
    *,
    note: str | None = None,
    facts: Iterable[tuple[str, str]] = (),
) -> str:
    """Return the page as HTML.

    Args:
        title: Heading of the page.
        payload: Data for the script of the page, as plain values.
        note: A line below the heading.
        facts: Names and values below it.
    """
    data = embed_json(payload)
    return render("map_report.html", title=title, note=note, facts=facts, data=data)


def embed_json(values: Mapping[str, Any]) -> str:
    """Return compact JSON that is safe inside a ``script`` element, whatever texts it holds."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)
