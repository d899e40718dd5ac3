"""Pages from templates: one HTML file that needs nothing else."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from importlib.resources import files

from geodetect.version import __version__


def filled_page(name: str, title: str, *, style: str, sources: str, **parts: str) -> str:
    """A page as text.

    Args:
        name: Template of its body.
        title: Plain text.
        style: Template of its style sheet.
        sources: What the page may load besides nothing, as directives of a content security policy.
        parts: HTML for the other places of the template, by name.
    """
    shared = {
        "title": html.escape(title),
        "version": html.escape(__version__),
        "style": template(style),
        "sources": sources,
    }
    return _filled(name, parts | shared | {"head": _filled("head.html", shared).rstrip()})


def template(name: str) -> str:
    """A file of the folder ``templates``."""
    return (files("geodetect.reporting.html") / "templates" / name).read_text(encoding="utf-8")


def _filled(name: str, parts: Mapping[str, str]) -> str:
    """A template with its places filled, in one pass: nothing in the parts is taken for a place."""
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template(name))
