"""Nouns for objects, from the names of their classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geodetect.class_names import PLACEHOLDERS
from geodetect.errors import list_names

_IRREGULAR = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "foot": "feet",
    "goose": "geese",
    "mouse": "mice",
    "tooth": "teeth",
    "ox": "oxen",
    "leaf": "leaves",
    "roof": "roofs",
    "shelf": "shelves",
    "wharf": "wharves",
    **{word: word for word in ("sheep", "deer", "aircraft", "watercraft", "cattle", "fish")},
    **{word: word for word in ("debris", "photovoltaics", "vegetation", "water", "livestock")},
}
_SINGULARS = {plural: singular for singular, plural in _IRREGULAR.items()}
_SINGULAR_ENDINGS = ("ss", "us", "is", "as", "os")  # a bus, a basis; others in s are plurals


@dataclass(frozen=True)
class Noun:
    """Noun for objects.

    Args:
        singular: For one object.
        plural: For any other number.
    """

    singular: str
    plural: str

    @classmethod
    def from_classes(cls, names: Sequence[str]) -> Noun:
        """Return the noun of a class; several classes, or one without a name, are objects.

        Args:
            names: Names of the classes, in English: "pool", "swimming_pool", "Solar panels".
        """
        words = [_to_words(name) for name in names]
        if len(set(words)) != 1 or words[0] in ("", *PLACEHOLDERS, "objects", "detection"):
            return cls("object", "objects")
        singular = _to_singular(words[0])
        return cls(singular, _to_plural(singular))

    def count(self, number: int) -> str:
        """Return a number with the noun: ``1 pool``, ``887 pools``."""
        return f"{number:,} {self.singular if number == 1 else self.plural}"


def list_class_counts(by_class: Mapping[str, int]) -> str:
    """Return numbers of objects by class as text: ``3 cars, 66 pools``, or ``nothing``."""
    counts = (Noun.from_classes([name]).count(number) for name, number in by_class.items())
    return list_names(counts) or "nothing"


def _to_words(name: str) -> str:
    """Return the name of a class as words; blank if it has no letters.

    Abbreviations such as PV keep their capitals.
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-\s]+", " ", name).strip()
    words = [w if w.isupper() and len(w) <= 3 else w.lower() for w in spaced.split()]
    return " ".join(words) if re.search(r"[^\W\d_]", spaced) else ""


def _to_singular(words: str) -> str:
    head, last = _split_last(words)
    if last in _SINGULARS:
        return head + _SINGULARS[last]
    if last.endswith("eaux"):  # French: bateaux
        return f"{head}{last[:-1]}"
    if last in _IRREGULAR or not last.endswith("s") or last.endswith(_SINGULAR_ENDINGS):
        return words
    if len(last) <= 3:
        return words
    if re.search(r"[^aeiou]ies$", last):
        return f"{head}{last[:-3]}y"
    if re.search(r"(sh|ch|x|ss|z)es$", last):
        return f"{head}{last[:-2]}"
    return f"{head}{last[:-1]}"


def _to_plural(words: str) -> str:
    head, last = _split_last(words)
    if last in _IRREGULAR:
        return head + _IRREGULAR[last]
    if last.endswith("eau"):
        return f"{head}{last}x"
    if re.search(r"[^aeiou]y$", last):
        return f"{head}{last[:-1]}ies"
    if re.search(r"(s|sh|ch|x|z)$", last):
        return f"{head}{last}es"
    return f"{head}{last}s"


def _split_last(words: str) -> tuple[str, str]:
    """Return all words but the last with a blank, and the last."""
    head, blank, last = words.rpartition(" ")
    return head + blank, last
