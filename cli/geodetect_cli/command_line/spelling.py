"""Spellings of options that are understood: former names, singular and plural, underscores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

AMERICAN = {"license": "licence"}


class Spellings:
    """Flags of a command by their spellings.

    Args:
        flags: Flags with the names that they had in earlier versions, without dashes.
    """

    def __init__(self, flags: Mapping[str, Iterable[str]]) -> None:
        self.flags = tuple(flags)
        self._exact = {flag: flag for flag in flags}
        for flag, former in flags.items():
            for name in former:
                self._exact.setdefault(f"--{name.replace('_', '-')}", flag)
        self._similar: dict[str, str | None] = {}
        for spelling, flag in self._exact.items():
            form = _normal_form(spelling)
            self._similar[form] = flag if self._similar.get(form, flag) == flag else None

    @property
    def names(self) -> dict[str, str]:
        """Flags by the names that they have, or had in earlier versions."""
        return dict(self._exact)

    def flag(self, word: str) -> str | None:
        """Return the flag that a word means; None for none, or several."""
        return self._exact.get(word) or self._similar.get(_normal_form(word))


def _normal_form(word: str) -> str:
    """Return a flag in lower case, with dashes and in the singular."""
    parts = word.lower().replace("_", "-").split("-")
    return "-".join(_singular(AMERICAN.get(part, part)) for part in parts)


def _singular(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
