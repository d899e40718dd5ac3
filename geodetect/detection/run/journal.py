"""What a run has done so far, kept on disk, so that a run that dies goes on where it stopped.

A journal is one file that only grows: a record that names the run, then one record for each row of
tiles that went through the detector. Each record carries its length and a checksum, so what was
half-written when the run died is recognised and cut off.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from filelock import FileLock, Timeout
from safetensors.numpy import load, save

from geodetect.detection.detections import Detections
from geodetect.detection.run.tile_result import TileResult
from geodetect.errors import InputError, OutputError
from geodetect.geo.tiles import Tile
from geodetect.io.atomic import FileIdentity, release_lock, staged_files

MAGIC = b"geodetect journal 1\n"
SUFFIX = ".journal"
LONG_RUN_TILES = 100  # from here on a run is worth a journal without being asked
_FRAME = struct.Struct("<QI")  # length and CRC-32 of the bytes that follow

FILES = 2**32 - 1  # in place of the number of a raster: files of the result

Identity = Mapping[str, str]


class Journal:
    """The journal of one run.

    ::

        with Journal("pools.gpkg.journal") as journal:
            layer = predict_layer("scene.tif", journal=journal)  # resumes what is there
            ...  # use the layer
            journal.discard()

    Args:
        path: The file; beside it, while the run lasts, lies a lock.
        min_tiles: Runs with fewer tiles do without.
        restart: Give up what an earlier run wrote down, whatever run that was.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, min_tiles: int = 0, restart: bool = False
    ) -> None:
        self.path = Path(path)
        self.min_tiles = min_tiles
        self._restart = restart
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"), blocking=False)
        self._file: FileIO | None = None
        self._rows: dict[int, dict[int, tuple[int, int]]] = {}  # offset and length of each record
        self._is_new = False
        self._files: set[FileIdentity] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, identity: Identity) -> None:
        """Open the file, or begin it when there is none.

        Args:
            identity: What the results depend on, by name: model, settings, each raster.

        Raises:
            InputError: The file is the journal of another run, is in use, or is no journal.
            OutputError: It cannot be written.
        """
        if not self.path.parent.is_dir():
            raise OutputError(
                f"cannot write the journal {self.path}: the folder does not exist; create it, or "
                f"choose another with `work_dir`"
            )
        try:
            self._lock.acquire()
            self._file = FileIO(self.path, "r+" if self.path.exists() else "x+")
        except Timeout as error:
            raise InputError(
                f"{self.path} is in use by another run; wait for it, or choose another folder with "
                f"`work_dir`"
            ) from error
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self._begin(self._file, identity)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; it stays, unless it was begun now and holds nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if self._is_new and not self._rows:
                self.path.unlink(missing_ok=True)
        if self._lock.is_locked:
            release_lock(self._lock)

    def discard(self) -> None:
        """Close the file and remove it: the run is over, its result is written.

        A file that was never opened, as the run was too short, is another run's and stays.
        """
        if self._file is not None:
            self._file.close()  # Windows removes no file that is open
            self._file = None
            self.path.unlink(missing_ok=True)
        self.close()

    @property
    def files(self) -> frozenset[FileIdentity]:
        """Files of the result that an earlier, interrupted execution of this run recorded."""
        return frozenset(self._files)

    def record_files(self, staged: Path) -> None:
        """Record the files of the result that are about to appear.

        If the run dies from now on, it may leave them, and the next execution may replace them.
        Does nothing where the journal is not open, as the run is too short.

        Args:
            staged: The path that ``write_atomically`` yielded, written completely.

        Raises:
            OutputError: The journal cannot be written.
        """
        if self._file is not None:
            record = json.dumps(staged_files(staged)).encode()
            self._append(self._file, _KEY.pack(FILES, 0) + record)

    def __len__(self) -> int:
        """Finished rows of tiles."""
        return sum(map(len, self._rows.values()))

    def finished_rows(self, raster: int) -> Collection[int]:
        """Return the finished rows of tiles of a raster, given by its number in the run."""
        return self._rows.get(raster, {}).keys()

    def get(self, raster: int, tiles: Sequence[Tile]) -> list[TileResult]:
        """Read the results of a finished row of tiles.

        Args:
            raster: Number of the raster in the run.
            tiles: The planned tiles of the row.
        """
        offset, length = self._rows[raster][tiles[0].row]
        file = self._open_file()
        file.seek(offset)
        return _unpack(file.read(length), tiles)

    def add(self, raster: int, results: Sequence[TileResult]) -> None:
        """Append a row of tiles; it is on the disk when this returns.

        Args:
            raster: Number of the raster in the run.
            results: Those of all tiles of the row, at least one, in order.

        Raises:
            OutputError: The journal cannot be written; earlier records are unharmed.
        """
        row = results[0].tile.row
        record = self._append(self._open_file(), _pack(raster, row, results))
        self._rows.setdefault(raster, {})[row] = record

    def _open_file(self) -> FileIO:
        if self._file is None:
            raise InputError(
                f"the journal {self.path} is not open; open it with the run's identity"
            )
        return self._file

    def _begin(self, file: FileIO, identity: Identity) -> None:
        """Read what there is, cut off what is damaged, or write the first record."""
        start = file.read(len(MAGIC))
        if start == MAGIC and not self._restart:
            found = _next(file)
            if found is not None:
                self._check(json.loads(found), identity)
                self._index(file)
                return
        elif not MAGIC.startswith(start):
            raise InputError(
                f"{self.path} is no journal of geodetect; remove it, or choose another folder with "
                f"`work_dir`"
            )
        self._is_new = True
        file.seek(0)  # new, or it broke off before its first record was whole
        file.truncate()
        self._write(file, MAGIC)
        self._append(file, json.dumps(dict(identity), sort_keys=True).encode())

    def _check(self, found: Identity, wanted: Identity) -> None:
        if found == wanted:
            return
        names = [n for n in {**wanted, **found} if wanted.get(n) != found.get(n)]
        raise InputError(
            f"{self.path} is the journal of another run (not the same: {', '.join(names[:5])}); "
            f"repeat that run to resume it, set `restart` to discard its results, or set "
            f"`work_dir` to another folder to keep both"
        )

    def _index(self, file: FileIO) -> None:
        """Find the whole records, and cut off the rest."""
        end = file.tell()
        for payload in _records(file):
            raster, row = _KEY.unpack_from(payload)
            start, end = end + _FRAME.size, file.tell()
            if raster == FILES:
                self._files |= _unpack_files(payload)
            else:
                self._rows.setdefault(raster, {})[row] = start, end - start
        file.truncate(end)

    def _append(self, file: FileIO, payload: bytes) -> tuple[int, int]:
        """Write a record at the end; return where its bytes lie and how many they are."""
        end = file.seek(0, os.SEEK_END)
        try:
            self._write(file, _FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        except OutputError:
            file.truncate(end)
            raise
        return end + _FRAME.size, len(payload)

    def _write(self, file: FileIO, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write the journal {self.path} ({error.strerror}); free space there, choose "
            f"another folder with `work_dir`, or keep no journal"
        )


@dataclass(frozen=True)
class RasterJournal:
    """Rows of tiles of one raster in the journal of a run.

    Args:
        journal: The journal; None: nothing is kept.
        number: Number of the raster in the run.
        finished_rows: Rows of tiles that an earlier execution of the run finished.
    """

    journal: Journal | None = None
    number: int = 0
    finished_rows: frozenset[int] = frozenset()

    @classmethod
    def from_run(cls, journal: Journal | None, number: int) -> RasterJournal:
        """Return the part of a raster, given by its number, in an open journal."""
        rows = () if journal is None else journal.finished_rows(number)
        return cls(journal, number, frozenset(rows))

    def get(self, tiles: Sequence[Tile]) -> list[TileResult]:
        """Read the results of one of ``finished_rows``, see ``Journal.get``."""
        if self.journal is None:
            raise KeyError(tiles[0].row)
        return self.journal.get(self.number, tiles)

    def add(self, results: Sequence[TileResult]) -> None:
        """Append a row of tiles, see ``Journal.add``; without a journal do nothing."""
        if self.journal is not None:
            self.journal.add(self.number, results)


_KEY = struct.Struct("<IQ")  # raster and row, at the start of each record


def read_files(path: str | os.PathLike[str]) -> set[FileIdentity]:
    """Read the files of the result that a journal records; none where there is no journal."""
    files: set[FileIdentity] = set()
    if Path(path).is_file():
        with FileIO(path) as file:
            if file.read(len(MAGIC)) == MAGIC and _next(file) is not None:
                for record in _records(file):
                    if _KEY.unpack_from(record)[0] == FILES:
                        files |= _unpack_files(record)
    return files


def _unpack_files(record: bytes) -> set[FileIdentity]:
    return {FileIdentity(*values) for values in json.loads(record[_KEY.size :])}


def _records(file: FileIO) -> Iterator[bytes]:
    """The whole records from here on."""
    return iter(lambda: _next(file), None)


def _next(file: FileIO) -> bytes | None:
    """The next record, or None when there is no whole one."""
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(head)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if not 0 < length <= left:  # after a loss of power there may be zeros
        return None
    payload = file.read(length)
    return payload if zlib.crc32(payload) == checksum else None


def _pack(raster: int, row: int, results: Sequence[TileResult]) -> bytes:
    found = [Detections.empty() if r.detections is None else r.detections for r in results]
    joined = Detections.concatenate(found)
    arrays = {
        "count": np.array([-1 if r.detections is None else len(r.detections) for r in results]),
        "shape": np.array([r.imagery.shape for r in results], np.int64).reshape(-1, 2),
        "imagery": np.packbits(
            np.concatenate([np.empty(0, bool), *(r.imagery.ravel() for r in results)])
        ),
        "boxes": joined.boxes,
        "scores": joined.scores,
        "labels": joined.labels,
        "truncated": joined.truncated,
    }
    return _KEY.pack(raster, row) + save({k: np.ascontiguousarray(v) for k, v in arrays.items()})


def _unpack(payload: bytes, tiles: Sequence[Tile]) -> list[TileResult]:
    part = load(payload[_KEY.size :])
    joined = Detections(part["boxes"], part["scores"], part["labels"], part["truncated"])
    counts, shapes = part["count"], part["shape"]
    sizes = shapes.prod(axis=1)
    bits = np.unpackbits(part["imagery"], count=int(sizes.sum())).astype(bool)
    cells = np.split(bits, np.cumsum(sizes)[:-1])
    ends = np.cumsum(np.maximum(counts, 0))
    return [
        TileResult(
            tile,
            joined[ends[i] - counts[i] : ends[i]] if counts[i] >= 0 else None,
            cells[i].reshape(shapes[i]),
        )
        for i, tile in enumerate(tiles)
    ]
