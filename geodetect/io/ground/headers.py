"""Headers of rasters as rows of a Parquet file: what was opened once need not be opened again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from affine import Affine
from pyarrow import parquet
from pyproj import CRS
from rasterio.enums import Resampling

from geodetect.errors import InputError, translate_errors
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.raster.reader import Raster
from geodetect.io.raster.state import RasterState, absolute_path, changed_files, list_files_beside

T = TypeVar("T")
CHUNK = 5000  # rasters that are converted at once
SEPARATOR = "\0"  # between parts of a text: no name of a file has it
TRANSFORM = ("a", "b", "c", "d", "e", "f")
# texts that few rasters do not share; those of absent values are empty
SHARED = (
    *("crs", "unit_m", "bands", "dtype", "value_range", "nodata", "alpha", "warp"),
    *("remote_files", "doubts", "beside", "content"),
)
TEXTS = ("path", "name", "files", "states")
INTEGERS = (
    *("width", "height", "block_width", "bytes_per_px", "orientation"),
    *("block_bytes", "block_columns", "block_rows"),
)
FLAGS = ("external_sources", "is_service", "has_overviews")
ARRAYS = ("imagery", "colour_table", "is_opaque")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in TEXTS),
        *((name, pa.dictionary(pa.int32(), pa.string())) for name in SHARED),
        *((name, pa.float64()) for name in TRANSFORM),
        *((name, pa.int64()) for name in INTEGERS),
        *((name, pa.bool_()) for name in FLAGS),
        *((name, pa.binary()) for name in ARRAYS),
    ]
)


def encode_headers(rasters: Iterable[Raster]) -> bytes:
    """Return the headers of rasters as a Parquet file, one row each.

    Paths are absolute. The state of the files of each raster is recorded, unless it was before.

    Raises:
        RasterError: The files of a raster cannot be read.
    """
    target = BytesIO()
    parquet.write_table(to_table(rasters), target, compression="zstd")
    return target.getvalue()


def decode_headers(data: bytes) -> list[Raster]:
    """Return the rasters of a file of ``encode_headers``; none of them is opened.

    Raises:
        InputError: It is no such file, or damaged.
    """
    with translate_errors("no headers of rasters", InputError):
        return from_table(parquet.read_table(BytesIO(data)))


def changed_rasters(rasters: Sequence[Raster]) -> dict[str, str]:
    """Return the rasters whose files are not as they were when their headers were read.

    Files on servers that send no size, ETag or date count as unchanged.

    Returns:
        Path of the raster, and what is the matter with it.
    """
    recorded = [(raster, raster.recorded_state) for raster in rasters]
    certain = [(raster, state) for raster, state in recorded if state and state.is_certain]
    changed = changed_files([state for _, state in certain])
    problems = {}
    for (raster, _), file in zip(certain, changed, strict=True):
        if file:
            is_missing = Path(file).is_absolute() and not Path(file).exists()
            problem = "is missing" if is_missing else "has changed since its header was read"
            problems[raster.path] = problem if file in raster.path else f"{file} {problem}"
    return problems


def to_table(rasters: Iterable[Raster]) -> pa.Table:
    """Return the headers of rasters as a table with the columns of ``SCHEMA``."""
    remaining, parts = iter(rasters), [SCHEMA.empty_table()]
    while rows := list(map(_to_row, islice(remaining, CHUNK))):  # which take much memory
        parts.append(pa.table({n: [row[n] for row in rows] for n in SCHEMA.names}, schema=SCHEMA))
    return pa.concat_tables(parts)


def from_table(table: pa.Table) -> list[Raster]:
    """Return the rasters of a table of ``to_table``, unopened."""
    shared = {name: _shared_texts(table[name]) for name in SHARED}
    bands = _parse_each(shared["bands"], lambda text: tuple(map(int, text.split(","))))
    grids = zip(
        _parse_each(shared["crs"], lambda text: _parse_stored_crs(text) if text else None),
        _parse_each(shared["unit_m"], lambda text: float(text) if text else None),
        *(table[name].to_numpy().tolist() for name in (*TRANSFORM, "width", "height")),
        strict=True,
    )
    columns = {
        "path": table["path"].to_pylist(),
        "grid": [
            _make_grid(crs, unit_m, Affine(*values[:6]), values[6], values[7])
            for crs, unit_m, *values in grids
        ],
        "bands": bands,
        "dtype": shared["dtype"],
        "name": table["name"].to_pylist(),
        "value_range": _parse_each(shared["value_range"], _parse_range),
        "nodata": _parse_each(shared["nodata"], lambda text: float(text) if text else None),
        "alpha": _parse_each(shared["alpha"], lambda text: int(text) if text else None),
        "warp": _parse_each(shared["warp"], _parse_warp),
        "remote_files": _parse_each(shared["remote_files"], _split),
        "doubts": _parse_each(shared["doubts"], _split),
        "largest_block": list(
            zip(*(table[n].to_pylist() for n in ("block_columns", "block_rows")), strict=True)
        ),
        **{n: table[n].to_pylist() for n in FLAGS},
        **{
            n: table[n].to_numpy().tolist()
            for n in ("block_width", "bytes_per_px", "orientation", "block_bytes")
        },
        "imagery": [_parse_array(v, np.float64, (-1, 4)) for v in table["imagery"].to_pylist()],
        "colour_table": [
            _parse_array(v, np.uint8, (4, -1)) for v in table["colour_table"].to_pylist()
        ],
        "is_opaque": [_parse_array(v, np.bool_, (-1,)) for v in table["is_opaque"].to_pylist()],
    }
    names = tuple(columns)
    rasters = [
        Raster(**dict(zip(names, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    ]
    states = zip(
        rasters,
        table["files"].to_pylist(),
        table["states"].to_pylist(),
        shared["beside"],
        shared["content"],
        strict=True,
    )
    for raster, files, states_of_files, beside, content in states:
        # a raster and its only file have one text
        names_of_files = (raster.path,) if files == raster.path else _split(files)
        raster.recorded_state = RasterState(
            names_of_files, _split(states_of_files), beside, content
        )
    return rasters


def has_same_files_beside(raster: Raster) -> bool:
    """Return True if no files were added beside a raster that GDAL may read with it."""
    state = raster.recorded_state
    return state is not None and list_files_beside(raster.path) == state.beside


def _to_row(raster: Raster) -> dict[str, Any]:
    _ = raster.state  # records it
    state, grid = raster.recorded_state, raster.grid
    assert state is not None
    warp = None
    if raster.warp is not None:
        warp = raster.warp | {"resampling": raster.warp["resampling"].name}
    return {
        **{name: getattr(raster, name) for name in (*FLAGS, "dtype", "orientation", "name")},
        **{name: getattr(raster, name) for name in ("block_width", "bytes_per_px", "block_bytes")},
        "path": absolute_path(raster.path),
        "crs": grid.crs_wkt or "",
        "unit_m": _to_text(grid.unit_m),
        **dict(zip(TRANSFORM, grid.transform[:6], strict=True)),
        "width": grid.width,
        "height": grid.height,
        "bands": ",".join(map(str, raster.bands)),
        "value_range": ""
        if raster.value_range is None
        else "{!r},{!r}".format(*raster.value_range),
        "block_columns": raster.largest_block[0],
        "block_rows": raster.largest_block[1],
        "nodata": _to_text(raster.nodata),
        "alpha": _to_text(raster.alpha),
        "warp": "" if warp is None else json.dumps(warp),
        "remote_files": SEPARATOR.join(raster.remote_files),
        "doubts": SEPARATOR.join(raster.doubts),
        **{name: _to_bytes(getattr(raster, name)) for name in ARRAYS},
        "files": SEPARATOR.join(state.files),
        "states": SEPARATOR.join(state.states),
        "beside": state.beside,
        "content": state.content,
    }


def _to_text(value: float | None) -> str:
    return "" if value is None else repr(value)


def _to_bytes(array: Any) -> bytes | None:
    return None if array is None else np.ascontiguousarray(array).tobytes()


def _shared_texts(column: pa.ChunkedArray) -> list[str]:
    """Return the texts of a column, equal ones as one object."""
    encoded = column.unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # without rows
        return []
    texts = encoded.dictionary.to_pylist()
    return [texts[n] for n in encoded.indices.to_numpy().tolist()]


def _parse_each(texts: Iterable[str], parse: Callable[[str], T]) -> list[T]:
    """Parse texts, equal ones once."""
    values: dict[str, T] = {}
    return [
        values[text] if text in values else values.setdefault(text, parse(text)) for text in texts
    ]


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(SEPARATOR)) if text else ()


def _parse_range(text: str) -> tuple[float, float] | None:
    low, _, high = text.partition(",")
    return (float(low), float(high)) if text else None


def _parse_warp(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    warp = json.loads(text)
    return warp | {"resampling": Resampling[warp["resampling"]]}


def _parse_array(data: bytes | None, dtype: Any, shape: tuple[int, ...]) -> Any:
    return None if data is None else np.frombuffer(data, dtype).reshape(shape)


@lru_cache(maxsize=64)
def _parse_stored_crs(wkt: str) -> tuple[CRS, str]:
    """Parse the CRS of a grid, and return it with its WKT, which all rasters share."""
    return parse_crs(wkt), wkt


def _make_grid(
    crs: tuple[CRS, str] | None, unit_m: float | None, transform: Affine, width: int, height: int
) -> Grid:
    grid = Grid(None if crs is None else crs[0], transform, width, height, unit_m)
    if crs is not None:
        grid.__dict__["crs_wkt"] = crs[1]  # as it was, and not written anew for each raster
    return grid
