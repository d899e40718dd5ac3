"""Names of rasters that tell them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from geodetect.redaction import redact


def shortest_names(paths: Sequence[str]) -> list[str]:
    """Return the end of each path that tells it from all others: file names where these differ.

    Queries of URLs, which may be secret, do not appear. Paths that differ in nothing else are
    numbered, and equal ones have one name.
    """
    distinct = list(dict.fromkeys(paths))
    parts = {path: _split_path(path) for path in distinct}
    names = {path: parts[path][-1] for path in distinct}
    for depth in count(2):
        counts = Counter(names.values())
        ambiguous = [
            path for path in distinct if counts[names[path]] > 1 and len(parts[path]) >= depth
        ]
        if not ambiguous:
            break
        names |= {path: "/".join(parts[path][-depth:]) for path in ambiguous}
    taken: set[str] = set()
    for path, name in names.items():
        numbered = (name if n == 1 else f"{name} ({n})" for n in count(1))
        names[path] = next(candidate for candidate in numbered if candidate not in taken)
        taken.add(names[path])
    return [names[path] for path in paths]


def _split_path(path: str) -> tuple[str, ...]:
    """Return the parts of a path; of a URL, the first one is its server."""
    path = redact(path)
    url = re.search(r"\w+://.*", path)  # also in /vsicurl/https://...
    if url is not None:
        parts = urlsplit(url[0])
        return f"{parts.scheme}://{parts.hostname or ''}", *filter(None, parts.path.split("/"))
    return Path(path).absolute().parts if Path(path).exists() else Path(path).parts
