"""Class names in the form in which they are compared and written; names that stand for none."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

DEFAULT_CLASS = "object"  # of all rows of files without a column of classes
NO_CLASS = "all"  # of layers that are compared without regard to classes
PLACEHOLDERS = (NO_CLASS, DEFAULT_CLASS)
_FORMAT = "Cf"  # Unicode category of zero-width blanks and marks, byte order marks, soft hyphens


@lru_cache(maxsize=4096)
def normalize_class_name(name: str) -> str:
    """Return a class name without differences that nobody sees.

    Accented letters are composed (Unicode NFC): macOS writes them decomposed. Characters without
    width are left out, and blanks of any kind are one space between words.
    """
    visible = "".join(c for c in name if unicodedata.category(c) != _FORMAT)
    return unicodedata.normalize("NFC", " ".join(visible.split()))
