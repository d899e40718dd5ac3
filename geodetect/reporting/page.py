"""The report page: data, style and program in one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from geodetect.version import __version__

# What would end the element that holds the data, or a line of a program, is written as \uXXXX.
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_SCRIPTS = ("viewer.js", "charts.js", "page.js")


def page_html(title: str, data: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
        title: Of the page, plain text.
        data: What `geodetect.reporting.report` gathers, as plain values.
    """
    parts = {
        "title": html.escape(title),
        "version": html.escape(__version__),
        "style": _template("page.css"),
        "program": "\n".join(map(_template, _SCRIPTS)),
        "data": embedded_json(data),
    }
    # in one pass, so that nothing in the data is taken for a place to fill
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _template("page.html"))


def embedded_json(data: Mapping[str, Any]) -> str:
    """Compact JSON that is safe inside a ``script`` element, whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)


def _template(name: str) -> str:
    return (files("geodetect.reporting") / "templates" / name).read_text(encoding="utf-8")
