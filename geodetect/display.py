"""Short texts and tables of results, for the interpreter and notebooks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice

from geodetect.redaction import redact

MAX_ROWS = 11  # below the title
MAX_VALUE_LENGTH = 100  # characters

Rows = Iterable[tuple[str, str]]


class Displayed:
    """Result with a short ``repr`` and a table in notebooks; a base class before others.

    ``repr=False`` keeps ``dataclass`` from writing another ``repr``.
    """

    @abstractmethod
    def display_rows(self) -> Rows:
        """Return names and values to show, the most important first."""

    def __repr__(self) -> str:
        rows = list(self._shown_rows())
        width = max((len(name) for name, _ in rows), default=0)
        lines = (f"  {name:{width}}  {value}".rstrip() for name, value in rows)
        return "\n".join([type(self).__name__, *lines])

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        """Return the rows as a table of HTML."""
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in self._shown_rows()
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{cells}</table>"

    def _shown_rows(self) -> Iterator[tuple[str, str]]:
        """Yield the first rows on one line each, long values cut, without secrets of addresses."""
        for name, value in islice(self.display_rows(), MAX_ROWS):
            text = " ".join(redact(value).split())
            if len(text) > MAX_VALUE_LENGTH:
                text = f"{text[:MAX_VALUE_LENGTH]}..."
            yield " ".join(name.split()), text
