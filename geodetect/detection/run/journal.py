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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from filelock import FileLock, Timeout
from safetensors.numpy import load, save

from geodetect.detection.detections import Detections
from geodetect.detection.run.tile_pipeline import TileResult
from geodetect.errors import InputError, OutputError
from geodetect.geo.tiles import Tile
from geodetect.io.atomic import Identity as FileIdentity
from geodetect.io.atomic import identity_of, release

MAGIC = b"geodetect journal 1\n"
SUFFIX = ".journal"
LONG_RUN_TILES = 100  # from here on a run is worth a journal without being asked
_FRAME = struct.Struct("<QI")  # length and CRC-32 of the bytes that follow

FILES = 2**32 - 1  # in place of the number of a raster: files of the result

Identity = Mapping[str, str]
OwnFile = tuple[str, tuple[int, ...]]  # where a file of the result lies, and what it is


class Journal:
    """The journal of one run.

    ::

        with Journal("pools.gpkg.journal") as journal:
            table = predict("scene.tif", journal=journal)  # goes on from what is there
            options = {"overwrite": journal.is_own, "publishing": journal.note_files}
            write(table, "pools.gpkg", **options)
            journal.discard()

    Args:
        path: The file; beside it, while the run lasts, lies a lock.
        least_tiles: Runs with fewer tiles do without.
        restart: Give up what an earlier run wrote down, whatever run that was.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, least_tiles: int = 0, restart: bool = False
    ) -> None:
        self.path = Path(path)
        self.least_tiles = least_tiles
        self._restart = restart
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"), blocking=False)
        self._file: FileIO | None = None
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        self._is_new = False
        self._own: set[OwnFile] = set()

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
                f"choose another with --work-dir"
            )
        try:
            self._lock.acquire()
            self._file = FileIO(self.path, "r+" if self.path.exists() else "x+")
        except Timeout as error:
            raise InputError(
                f"{self.path} is in use by another run; wait for it, or name another folder with "
                f"--work-dir"
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
            if self._is_new and not self._places:
                self.path.unlink(missing_ok=True)
        if self._lock.is_locked:
            release(self._lock)

    def discard(self) -> None:
        """Close the file and remove it: the run is over, its result is written.

        A file that was never opened, as the run was too short, is another run's and stays.
        """
        if self._file is not None:
            self._file.close()  # Windows removes no file that is open
            self._file = None
            self.path.unlink(missing_ok=True)
        self.close()

    def note_files(self, files: Mapping[Path, FileIdentity]) -> None:
        """Write down that files of the result are about to appear.

        When the run dies now, it leaves them, or some of them, and the next one may replace them.
        Nothing is done where there is no journal, as the run is too short.

        Args:
            files: What each of them is, by its final path.

        Raises:
            OutputError: It cannot be written.
        """
        if self._file is not None:
            known = [[str(path), *identity] for path, identity in files.items()]
            self._append(self._file, _KEY.pack(FILES, 0) + json.dumps(known).encode())

    def is_own(self, file: Path) -> bool:
        """Whether an earlier run of the same left this file when it died, and nobody changed it."""
        return _is_one_of(self._own, file)

    def __len__(self) -> int:
        """Rows of tiles that are done."""
        return len(self._places)

    def holds(self, raster: int, row: int) -> bool:
        """Whether a row of tiles is done.

        Args:
            raster: Number of the raster in the run.
            row: Number of the row of tiles.
        """
        return (raster, row) in self._places

    def get(self, raster: int, tiles: Sequence[Tile]) -> list[TileResult]:
        """The results of a row of tiles that is done.

        Args:
            raster: Number of the raster in the run.
            tiles: The tiles of the row that were looked at.
        """
        place = self._places[raster, tiles[0].row]
        file = self._open_file()
        file.seek(place[0])
        return _unpack(file.read(place[1]), tiles)

    def add(self, raster: int, results: Sequence[TileResult]) -> None:
        """Write down a row of tiles; it is on the disk when this returns.

        Args:
            raster: Number of the raster in the run.
            results: Those of all tiles of the row, at least one, in order.

        Raises:
            OutputError: It cannot be written; what was written before is unharmed.
        """
        row = results[0].tile.row
        self._places[raster, row] = self._append(self._open_file(), _pack(raster, row, results))

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
                f"{self.path} is no journal of geodetect; remove it, or name another folder with "
                f"--work-dir"
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
            f"give that run's command to go on with it, --restart to give its work up, or "
            f"--work-dir to keep both"
        )

    def _index(self, file: FileIO) -> None:
        """Find the whole records, and cut off the rest."""
        end = file.tell()
        for payload in _records(file):
            raster, row = _KEY.unpack_from(payload)
            start, end = end + _FRAME.size, file.tell()
            if raster == FILES:
                self._own |= _own_files(payload)
            else:
                self._places[raster, row] = start, end - start
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
            f"another folder with --work-dir, or go without with --no-journal"
        )


_KEY = struct.Struct("<IQ")  # raster and row, at the start of each record


def files_left_by(path: str | os.PathLike[str]) -> Callable[[Path], bool]:
    """Which files the run that left a journal left with it; none where there is no journal."""
    own: set[OwnFile] = set()
    if Path(path).is_file():
        with FileIO(path) as file:
            if file.read(len(MAGIC)) == MAGIC and _next(file) is not None:
                for record in _records(file):
                    if _KEY.unpack_from(record)[0] == FILES:
                        own |= _own_files(record)
    return partial(_is_one_of, own)


def _own_files(record: bytes) -> set[OwnFile]:
    return {(path, tuple(identity)) for path, *identity in json.loads(record[_KEY.size :])}


def _is_one_of(own: set[OwnFile], file: Path) -> bool:
    return bool(own) and file.is_file() and (str(file.resolve()), identity_of(file)) in own


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
