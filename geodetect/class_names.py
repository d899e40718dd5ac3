"""Class names in the one form in which they are compared and written."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_FORMAT = "Cf"  # Unicode category of zero-width blanks and marks, byte order marks, soft hyphens


@lru_cache(maxsize=4096)
def normalize_class_name(name: str) -> str:
    """Return a class name without differences that nobody sees.

    Accented letters are composed (Unicode NFC): macOS writes them decomposed. Characters without
    width are left out, and blanks of any kind are one space between words.
    """
    visible = "".join(c for c in name if unicodedata.category(c) != _FORMAT)
    return unicodedata.normalize("NFC", " ".join(visible.split()))
