"""The report page: data, style and program in one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from geodetect.reporting.html.template import filled_page, template

# What would end the element that holds the data, or a line of a program, is written as \uXXXX.
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_SCRIPTS = ("viewer.js", "charts.js", "page.js")
_SOURCES = "img-src data: file: 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page_html(title: str, data: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
        title: Of the page, plain text.
        data: What `geodetect.reporting.map_report.report` gathers, as plain values.
    """
    return filled_page(
        "page.html",
        title,
        style="page.css",
        sources=_SOURCES,
        program="\n".join(map(template, _SCRIPTS)),
        data=embedded_json(data),
    )


def embedded_json(data: Mapping[str, Any]) -> str:
    """Compact JSON that is safe inside a ``script`` element, whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)
