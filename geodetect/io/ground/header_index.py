"""Index of the headers of rasters in the user's cache folder, with which a second plan is quick.

It is one Parquet file, sorted by path. A row counts as long as size and time of change of the files
of its raster are the same, on a web server what its headers say of them, and no files were added
beside it. So nothing has to be discarded by hand.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import rasterio

from geodetect.errors import (
    GeodetectError,
    InputError,
    OutputError,
    RasterError,
    translate_errors,
)
from geodetect.io.array_raster import ArrayRaster
from geodetect.io.raster.open_raster import open_raster, warn_of_doubts
from geodetect.io.raster.reader import Raster, RasterOptions
from geodetect.io.raster.remote import is_remote
from geodetect.io.raster.state import absolute_path, changed_files
from geodetect.io.user_cache import private_folder, read_private, write_private
from geodetect.threads import stop_pools
from geodetect.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER, FILE = "headers", "headers.parquet"
MIN_RASTERS = 32  # of a run that uses the index: few headers are read in less time
MAX_ROWS = 500_000  # those read last stay
ROW_GROUP = 20_000  # rows that are read at once
VERSION = f"1, geodetect {__version__}, GDAL {rasterio.__gdal_version__}"
THREADS = 16  # that wait for servers
CHUNK = 16  # local headers that a thread reads at a time


def open_rasters(
    paths: Sequence[str],
    options: RasterOptions,
    *,
    needed_bands: int | None,
    left_out: dict[str, str] | None = None,
    advance: Callable[[int, int], object] = lambda opened, total: None,
) -> list[Raster]:
    """Return rasters for reading windows; those whose header is in the index are not opened.

    Args:
        paths: Files, URLs or anything GDAL opens.
        options: Bands, value range and CRS.
        needed_bands: Number of bands the model takes; None: any.
        left_out: Takes the error of each raster that cannot be opened, by path; None: it is raised.
        advance: Called with the number of rasters so far, and of all.

    Returns:
        The rasters that can be opened, in order.

    Raises:
        RasterError: A raster cannot be opened and none may be left out, a file does not exist, or
            no raster at all can be opened.
        InputError: Options and a raster do not fit together.

    Warns:
        GeodetectWarning: As ``open_raster``.
    """
    index = HeaderIndex(options, needed_bands) if len(paths) >= MIN_RASTERS else None
    rasters = dict[str, Raster]()
    if index is not None:
        rasters = index.find(paths)
        for raster in rasters.values():
            warn_of_doubts(raster)
        advance(len(rasters), len(paths))
    absent = [path for path in paths if path not in rasters]
    opened, errors = dict[str, Raster](), dict[str, RasterError]()
    try:
        for path, header in _open_each(absent, options, needed_bands, with_state=index is not None):
            if isinstance(header, Raster):
                opened[path] = header
            elif left_out is None or not (is_remote(path) or os.path.lexists(path)):
                raise header
            else:
                errors[path] = header
            advance(len(rasters) + len(opened) + len(errors), len(paths))
    finally:
        if index is not None and opened:
            index.add(list(opened.values()))
    rasters |= opened
    if errors and not rasters:
        raise next(iter(errors.values()))
    if left_out is not None:
        left_out |= {path: str(error) for path, error in errors.items()}
    return [rasters[path] for path in paths if path in rasters]


class HeaderIndex:
    """Index of headers that were read with the same options.

    Args:
        options: Bands, value range and CRS.
        needed_bands: Number of bands the model takes; None: any.
    """

    def __init__(self, options: RasterOptions, needed_bands: int | None) -> None:
        self._options = options
        key = replace(options, value_range=None)  # it does not change how a header is read
        self._key = f"{key} {needed_bands}"
        folder = private_folder(
            FOLDER, consequence="headers are not kept there, so each run reads them all"
        )
        self._file = None if folder is None else folder / FILE

    def find(self, paths: Sequence[str]) -> dict[str, Raster]:
        """Return the rasters whose headers are in the index, and whose files have not changed.

        Args:
            paths: Files and URLs.
        """
        names = {absolute_path(path): path for path in paths if _is_indexable(path)}
        table = self._read(names)
        if table is None:
            return {}
        from geodetect.io.ground.headers import from_table, has_same_files_beside

        rows = [n for n, path in enumerate(table["path"].to_pylist()) if path in names]
        try:
            with translate_errors("not the headers that this program wrote", InputError):
                rasters = from_table(table.take(rows))
        except InputError:
            return {}
        rasters = [raster for raster in rasters if has_same_files_beside(raster)]
        states = [raster.recorded_state for raster in rasters if raster.recorded_state]
        unchanged = {}
        for raster, changed in zip(rasters, changed_files(states), strict=True):
            if not changed:
                raster.path = names[raster.path]
                raster.value_range = self._options.value_range
                unchanged[raster.path] = raster
        return unchanged

    def add(self, rasters: Sequence[Raster]) -> None:
        """Add headers, in place of earlier ones of the same rasters; errors are no harm."""
        from geodetect.io.ground.headers import to_table

        indexable = [
            raster
            for raster in rasters
            if _is_indexable(raster.path)
            and raster.recorded_state is not None
            and raster.recorded_state.is_certain
        ]
        if self._file is None or not indexable:
            return
        with suppress(GeodetectError, OutputError, OSError):
            write_private(self._file, self._merge(to_table(indexable)))

    def _read(self, names: Mapping[str, object]) -> pa.Table | None:
        """Return the rows with the same options among which those of some paths are."""
        if not names:
            return None
        low, high = min(names), max(names)
        filters = [("path", ">=", low), ("path", "<=", high), ("options", "=", self._key)]
        return self._read_table(filters)

    def _read_table(self, filters: list[tuple[str, str, str]] | None) -> pa.Table | None:
        """Return rows of the index; None: there is none, or none that this version wrote."""
        if self._file is None:
            return None
        from pyarrow import parquet

        try:
            with translate_errors("no index of headers", InputError):
                data = read_private(self._file)
                if data is None:
                    return None
                if (
                    parquet.read_metadata(BytesIO(data)).metadata.get(b"version")
                    != VERSION.encode()
                ):
                    return None
                return parquet.read_table(BytesIO(data), filters=filters)
        except InputError:
            return None

    def _merge(self, table: pa.Table) -> bytes:
        """Return the Parquet file with new rows."""
        import pyarrow as pa
        from pyarrow import compute, parquet

        count = len(table)
        constants: dict[str, Any] = {
            "options": pa.array([self._key] * count, pa.string()),
            "read_at": pa.array([int(time.time())] * count, pa.int64()),
        }
        for name, values in constants.items():
            table = table.append_column(name, values)
        earlier = self._read_table(None)
        if earlier is not None:
            is_replaced = compute.and_(
                compute.is_in(earlier["path"], table["path"]),
                compute.equal(earlier["options"], self._key),
            )
            table = pa.concat_tables([earlier.filter(compute.invert(is_replaced)), table])
        if len(table) > MAX_ROWS:
            table = table.sort_by([("read_at", "descending")]).slice(0, MAX_ROWS)
        table = table.sort_by("path").replace_schema_metadata({"version": VERSION})
        target = BytesIO()
        parquet.write_table(table, target, compression="zstd", row_group_size=ROW_GROUP)
        return target.getvalue()


def _is_indexable(path: str) -> bool:
    """Return True for local files and addresses without a query, which may hold secrets."""
    return not isinstance(path, ArrayRaster) and not path.startswith("<") and "?" not in path


def _open_each(
    paths: Sequence[str], options: RasterOptions, needed_bands: int | None, *, with_state: bool
) -> Iterator[tuple[str, Raster | RasterError]]:
    """Open rasters in order, or yield why not; several threads wait for servers."""

    def open_or_explain(path: str) -> Raster | RasterError:
        try:
            return open_raster(
                path,
                replace(options, pixels_allowed=isinstance(path, ArrayRaster)),
                needed_bands=needed_bands,
                with_state=with_state,
            )
        except RasterError as error:
            return error

    def open_chunk(chunk: Sequence[str]) -> list[Raster | RasterError]:
        return list(map(open_or_explain, chunk))

    # local headers are read in less time than threads take to hand Python's lock over
    threads, size = (THREADS, 1) if any(map(is_remote, paths)) else (1, CHUNK)
    chunks = (paths[start : start + size] for start in range(0, len(paths), size))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="geodetect-header")
    queue = deque[tuple[Sequence[str], Future[list[Raster | RasterError]]]]()

    def take_first() -> Iterator[tuple[str, Raster | RasterError]]:
        opened, future = queue[0]  # it stays in the queue while it is waited for
        results = future.result()
        queue.popleft()
        return zip(opened, results, strict=True)

    try:
        for chunk in chunks:
            queue.append((chunk, pool.submit(open_chunk, chunk)))
            if len(queue) > 2 * threads:
                yield from take_first()
        while queue:
            yield from take_first()
    finally:
        stop_pools([pool], [future for _, future in queue])
