"""Bound on the files that many rasters keep open at once."""

from __future__ import annotations

import threading
from collections import OrderedDict

from geodetect.io.raster.reader import Raster

RESERVED_FILES = 96  # of libraries, outputs and the standard streams
FILES_PER_RASTER = 6  # with and without overviews, mask and overview files; in two grounds at once
FEWEST, MOST = 2, 256  # rasters


class OpenRasters:
    """Rasters with open files: each thread closes those that it has not read for longest.

    Args:
        limit: Rasters that all threads together keep open, at least two each; None: as many as the
            limit of open files of the process allows.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = _limit_of_process() if limit is None else limit
        self._lock = threading.Lock()
        self._recent: dict[int, OrderedDict[int, Raster]] = {}

    def touch(self, raster: Raster) -> None:
        """Tell that this thread is about to read from a raster."""
        thread = threading.get_ident()
        with self._lock:
            recent = self._recent.setdefault(thread, OrderedDict())
            share = max(FEWEST, self._limit // len(self._recent))
        recent.pop(id(raster), None)
        recent[id(raster)] = raster
        while len(recent) > share:
            recent.popitem(last=False)[1].release()

    def clear(self) -> None:
        """Forget all rasters, which were closed."""
        with self._lock:
            self._recent.clear()


def _limit_of_process() -> int:
    """Return the number of rasters whose files the process may keep open."""
    try:
        import resource
    except ImportError:  # Windows
        return MOST
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        MOST if files < 0 else min(MOST, max(FEWEST, (files - RESERVED_FILES) // FILES_PER_RASTER))
    )
