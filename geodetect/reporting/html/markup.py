"""Pieces of an HTML page. All texts are plain; what they return is HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A table whose first column is text; the others are set flush right."""
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead>{lines}</table></div>'


def pairs(rows: Iterable[tuple[str, str]], *, kind: str = "pairs") -> str:
    """Names and values."""
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows
    )
    return f'<dl class="{kind}">{items}</dl>'


def section(title: str, *parts: str) -> str:
    """A part of the page with a heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def heading(text: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def details(title: str, *parts: str) -> str:
    """A part that is folded at first."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def cards(parts: Iterable[str]) -> str:
    """Parts side by side where there is room."""
    return f'<div class="cards">{"".join(parts)}</div>'


def picture(path: Path, text: str) -> str:
    """A PNG inside the page, with what it shows in words."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(text)}">'
    return f'<figure class="card">{image}</figure>'


def chips(images: Iterable[tuple[str, str]]) -> str:
    """Small pictures, given as addresses, with captions."""
    items = "".join(
        f'<figure><img src="{escape(source)}" alt=""><figcaption>{escape(text)}</figcaption>'
        f"</figure>"
        for source, text in images
    )
    return f'<div class="chips">{items}</div>'
