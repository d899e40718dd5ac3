"""Journal of a run: finished runs of tiles on disk, from which an interrupted run resumes.

A journal is one file that only grows: a record with the fingerprint of the run, one record for each
run of tiles that went through the detector, and at the end the identities of the files of the
result. A run of tiles counts as long as the rasters that it shows have not changed. Each record
has a length and checksums, so that one that a killed run left incomplete is recognised and cut
off, and a damaged one is left out with a warning.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout
from safetensors.numpy import load, save

from geodetect.detection.detections import TileResult
from geodetect.detection.plan import TileRun
from geodetect.detection.run.observations import GroundObservations
from geodetect.detection.run.packed_results import PackedResults
from geodetect.detection.run.records import FRAME_BYTES, is_rest_damaged, pack_record, read_records
from geodetect.errors import GeodetectWarning, InputError, OutputError, list_names, translate_errors
from geodetect.io.atomic import FileIdentity, acquire_lock, release_lock, staged_files

TITLE = b"geodetect journal "
MAGIC = TITLE + b"4\n"  # with the version of the format
SUFFIX = ".journal"
LONG_RUN_TILES = 100  # smallest number of tiles of a run that keeps a journal by default
# numbers of ground and first tile, and state of the rasters, at the start of a payload
_KEY = struct.Struct("<IQ16s")
_FILES = 2**32 - 1  # ground number of records with files of the result


@dataclass(frozen=True)
class _Record:
    """Place of a finished run of tiles in the file.

    Args:
        state: State of the rasters that it shows.
        offset: Of its payload in the file, in bytes.
        length: Of its payload, in bytes.
    """

    state: str
    offset: int
    length: int


class Journal:
    """The journal of one run.

    ::

        with Journal("pools.gpkg.journal") as journal:
            layer = predict_layer("scene.tif", journal=journal)  # resumes if it is interrupted
            ...  # use the layer
            journal.discard()

    Args:
        path: The file; during the run there is a lock beside it.
        min_tiles: Runs with fewer tiles keep no journal.
        restart: Discard the records of an earlier run, even if it was a different one.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, min_tiles: int = 0, restart: bool = False
    ) -> None:
        self.path = Path(path)
        self.min_tiles = min_tiles
        self._restart = restart
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"), blocking=False)
        self._file: FileIO | None = None
        self._runs: dict[int, dict[int, _Record]] = {}
        self._is_new = self._is_kept = False
        self._files: set[FileIdentity] = set()
        self._fingerprint: Callable[[], Mapping[str, str]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """True between ``open`` and ``close``: runs that are short keep no journal."""
        return self._file is not None

    def begin(self, fingerprint: Callable[[], Mapping[str, str]], *, tiles: int) -> None:
        """Begin a run: open the file, or create it if the run is long.

        The file of a short run is opened if it names files of a result: ``keep`` has left it.

        Args:
            fingerprint: Returns the fingerprint of the run, see ``run_fingerprint``.
            tiles: Number of tiles of the run.

        Raises:
            InputError: As for ``open``.
            OutputError: As for ``open``.
        """
        self._fingerprint = fingerprint
        if tiles >= self.min_tiles or (not self._restart and read_files(self.path)):
            self.open(fingerprint())

    def keep(self) -> None:
        """Leave the file when the result is written, also of a short run: there are holes.

        The next execution of the run reads only what is missing in it, and replaces the result.
        """
        if self._file is None and self._fingerprint is not None:
            with suppress(InputError):  # there is one of another run, or the detector has no name
                self.open(self._fingerprint())
        self._is_kept = True

    def open(self, fingerprint: Mapping[str, str]) -> None:
        """Open the file, or create it.

        Args:
            fingerprint: Fingerprint of the run, see ``run_fingerprint``.

        Raises:
            InputError: The file is the journal of another run, is in use, or is no journal.
            OutputError: The file cannot be written.
        """
        if not self.path.parent.is_dir():
            raise OutputError(
                f"cannot write the journal {self.path}: the folder does not exist; create it, or "
                f"choose another with `work_dir`"
            )
        if os.path.lexists(self.path) and not stat.S_ISREG(self.path.lstat().st_mode):
            raise InputError(
                f"{self.path} is no plain file, so it is no journal; remove it, or choose another "
                f"folder with `work_dir`"
            )
        try:
            acquire_lock(self._lock)
            self._file = FileIO(self.path, "r+" if self.path.exists() else "x+")
        except Timeout as error:
            raise InputError(
                f"{self.path} is in use by another run; wait for it, or choose another folder with "
                f"`work_dir`"
            ) from error
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self._resume_or_begin(self._file, fingerprint)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; it remains, unless it is new, holds no rows and is not to be kept."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if self._is_new and not self._runs and not self._is_kept:
                self.path.unlink(missing_ok=True)
        if self._lock.is_locked:
            release_lock(self._lock)

    def discard(self) -> None:
        """Close the file and remove it: the result of the run is written.

        A file that was not opened because the run was too short is of another run, and remains.
        """
        if self._file is not None:
            self._file.close()  # Windows removes no file that is open
            self._file = None
            self.path.unlink(missing_ok=True)
        self.close()

    @property
    def files(self) -> frozenset[FileIdentity]:
        """Files of the result that an earlier execution of this run recorded."""
        return frozenset(self._files)

    def record_files(self, staged: Path) -> None:
        """Record the files of the result that are about to appear.

        If the run is killed from now on, the next execution may replace them. Nothing is recorded
        if the journal is not open because the run is too short.

        Args:
            staged: The path that ``write_atomically`` yielded, written completely.

        Raises:
            OutputError: The journal cannot be written.
        """
        if self._file is not None:
            record = json.dumps(staged_files(staged)).encode()
            self._append(self._file, _KEY.pack(_FILES, 0, b"") + record)

    def __len__(self) -> int:
        """Finished runs of tiles."""
        return sum(map(len, self._runs.values()))

    def holds(self, ground: int, run: TileRun) -> bool:
        """Return True if a run of tiles of the ground of this number is finished.

        It is not if a raster that it shows has changed since.
        """
        state = run.state  # as it is before the pixels are read
        record = self._runs.get(ground, {}).get(run.tiles[0].index)
        return record is not None and record.state == state

    def is_outdated(self, ground: int, run: TileRun) -> bool:
        """Return True if a run of tiles was finished, and a raster that it shows has changed."""
        return run.tiles[0].index in self._runs.get(ground, ()) and not self.holds(ground, run)

    def get(self, ground: int, run: TileRun, *, raster_count: int) -> list[TileResult]:
        """Read the results of a finished run of tiles.

        Args:
            ground: Number of the ground.
            run: The planned tiles.
            raster_count: Number of rasters of the ground.

        Raises:
            InputError: No run has written this record.
        """
        record = self._runs[ground][run.tiles[0].index]
        file = self._open_file()
        file.seek(record.offset)
        payload = file.read(record.length)
        with self._record_errors():
            packed = PackedResults.from_arrays(load(payload[_KEY.size :]))
            packed.check_rasters(raster_count)
            return packed.results(run.tiles)

    def observations(self, ground: int) -> GroundObservations:
        """Return nothing: rows with holes are not recorded, and the rest is read again."""
        return GroundObservations()

    def add(self, ground: int, run: TileRun, results: Sequence[TileResult]) -> None:
        """Append a run of tiles; it is on the disk when this returns.

        Args:
            ground: Number of the ground.
            run: The planned tiles.
            results: Results of all of them, in order.

        Raises:
            OutputError: The journal cannot be written; earlier records are unharmed.
        """
        arrays = PackedResults.from_results(results).to_arrays()
        key = _KEY.pack(ground, run.tiles[0].index, run.state.encode())
        offset, length = self._append(self._open_file(), key + save(arrays))
        record = _Record(run.state, offset, length)
        self._runs.setdefault(ground, {})[run.tiles[0].index] = record

    def _open_file(self) -> FileIO:
        if self._file is None:
            raise InputError(f"the journal {self.path} is not open; call `open` first")
        return self._file

    def _resume_or_begin(self, file: FileIO, fingerprint: Mapping[str, str]) -> None:
        """Index the complete records and cut off the rest, or write the first record."""
        start, size = file.read(len(MAGIC)), os.fstat(file.fileno()).st_size
        is_of_other_version = start.startswith(TITLE) and start != MAGIC
        if is_of_other_version and not self._restart:
            raise InputError(
                f"{self.path} is the journal of another version of geodetect; finish that run with "
                f"it, set `restart` to discard its results, or set `work_dir` to another folder"
            )
        if not is_of_other_version and not MAGIC.startswith(start):
            raise InputError(
                f"{self.path} is no journal of geodetect; remove it, or choose another folder with "
                f"`work_dir`"
            )
        records = read_records(file)
        first = next(records, b"") if start == MAGIC and not self._restart else b""
        if not first:  # a new file, or one that was cut off inside its first record
            self._begin(file, fingerprint)
            return
        with self._record_errors():
            earlier = dict(json.loads(first))
        changed = [n for n in {**fingerprint, **earlier} if fingerprint.get(n) != earlier.get(n)]
        if changed:
            raise InputError(
                f"{self.path} is the journal of another run (not the same: "
                f"{list_names(changed, limit=5)}); repeat that run to resume it, set `restart` to "
                f"discard its results, or set `work_dir` to another folder to keep both"
            )
        end, damaged, is_last_damaged = file.tell(), 0, False
        for payload in records:
            is_last_damaged = not payload
            if is_last_damaged:
                damaged += 1
                continue
            end = file.tell()
            with self._record_errors():
                ground, first_tile, state = _KEY.unpack_from(payload)
                if ground == _FILES:
                    self._files |= _unpack_files(payload)
                else:
                    text = state.rstrip(b"\0").decode()
                    record = _Record(text, end - len(payload), len(payload))
                    self._runs.setdefault(ground, {})[first_tile] = record
        unreadable = size - file.tell()
        is_damaged = is_rest_damaged(file)
        if is_last_damaged and not is_damaged:
            damaged -= 1  # rather incomplete, as a killed run leaves it
        problems = [f"{damaged:,} of its records"] if damaged else []
        if is_damaged:
            problems.append(f"the last {unreadable:,} of its {size:,} bytes")
        if problems:
            warnings.warn(
                f"the journal {self.path} is damaged: {' and '.join(problems)} cannot be read; "
                f"these tiles are searched again",
                GeodetectWarning,
                stacklevel=4,
            )
        file.truncate(end)

    def _begin(self, file: FileIO, fingerprint: Mapping[str, str]) -> None:
        """Write the first record in place of what the file holds."""
        payload = json.dumps(dict(fingerprint), sort_keys=True).encode()
        size = os.fstat(file.fileno()).st_size
        if size > len(MAGIC) + FRAME_BYTES + len(payload) and not self._restart:
            warnings.warn(
                f"the journal {self.path} is damaged: its first record, which says of which run it "
                f"is, cannot be read; so its {size:,} bytes of finished tiles cannot be used, and "
                f"the run starts over",
                GeodetectWarning,
                stacklevel=5,
            )
        self._is_new = True
        file.seek(0)
        file.truncate()
        self._write(file, MAGIC)
        self._append(file, payload)

    def _record_errors(self) -> AbstractContextManager[None]:
        """Translate the errors of records that no run has written, though their checksum fits."""
        return translate_errors(
            f"{self.path} holds records that no run has written; remove it, or choose another "
            f"folder with `work_dir`",
            InputError,
        )

    def _append(self, file: FileIO, payload: bytes) -> tuple[int, int]:
        """Append a record; return the offset and the length of its payload."""
        end = file.seek(0, os.SEEK_END)
        try:
            self._write(file, pack_record(payload))
        except OutputError:
            file.truncate(end)
            raise
        return end + FRAME_BYTES, len(payload)

    def _write(self, file: FileIO, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write the journal {self.path} ({error.strerror}); free space there, choose "
            f"another folder with `work_dir`, or keep no journal"
        )


def read_files(path: str | os.PathLike[str]) -> set[FileIdentity]:
    """Read the files of the result that a journal records; none where there is no journal."""
    files: set[FileIdentity] = set()
    if Path(path).is_file():
        with FileIO(path) as file:
            is_journal = file.read(len(MAGIC)) == MAGIC
            records = read_records(file)
            if is_journal and next(records, b""):
                with translate_errors(f"{path} is damaged; remove it", InputError):
                    for payload in filter(None, records):
                        if _KEY.unpack_from(payload)[0] == _FILES:
                            files |= _unpack_files(payload)
    return files


def _unpack_files(payload: bytes) -> set[FileIdentity]:
    return {FileIdentity(*values) for values in json.loads(payload[_KEY.size :])}
