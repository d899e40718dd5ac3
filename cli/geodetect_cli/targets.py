"""Where ``predict`` writes its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from geodetect_cli.layer_output import write_stream

if TYPE_CHECKING:
    from geodetect.detection.coverage import RasterCoverage
    from geodetect.detection.detection_layer import DetectionLayer
    from geodetect.detection.run.journal import Journal
    from geodetect.io.vector.geopackage import Layer


@dataclass(frozen=True)
class PredictTarget:
    """The files of a run.

    Args:
        output: File of the detections; ``-``: GeoJSON on the output stream; empty: none.
        coverage: File of the ground that was looked at; None: a second layer of the output if
            that is a GeoPackage, else none.
        format: Format of the detections, whatever the suffix.
        crs: CRS of both.
        overwrite: Replace what exists.
        style: Colour detections by score.
        work_dir: Folder of the journal; None: that of the output, for long runs.
    """

    output: str
    coverage: Path | None
    format: str | None
    crs: str | None
    overwrite: bool
    style: bool
    work_dir: Path | None = None

    def journal(self, *, restart: bool) -> Journal | None:
        """Where the work of the run is written down, so that it can go on when it dies.

        Args:
            restart: Give up what an earlier run wrote down.

        Raises:
            OutputError: The folder is missing or cannot be written to.
        """
        from geodetect.detection.run.journal import LONG_RUN_TILES, Journal
        from geodetect.io.atomic import check_folder

        path = self._journal_file
        if path is None:
            return None
        check_folder(path)
        least_tiles = LONG_RUN_TILES if self.work_dir is None else 0
        return Journal(path, least_tiles=least_tiles, restart=restart)

    @property
    def _journal_file(self) -> Path | None:
        from geodetect.detection.run.journal import SUFFIX

        if self.work_dir is None and not self._to_file:
            return None
        output = Path(self.output if self._to_file else "predict")
        return (self.work_dir or output.parent) / f"{output.name}{SUFFIX}"

    @property
    def _options(self) -> dict[str, Any]:
        return {"format": self.format, "crs": self.crs, "overwrite": self.overwrite}

    @property
    def _to_file(self) -> bool:
        return self.output not in ("", "-")

    @property
    def _is_geopackage(self) -> bool:
        from geodetect.io.vector import write as vector

        return self._to_file and vector.format_of(Path(self.output), self.format).name == "gpkg"

    @property
    def coverage_file(self) -> Path | None:
        """The file that the ground is written to, if any."""
        if self.coverage is None and self._is_geopackage:
            return Path(self.output)
        return self.coverage

    @property
    def _in_one_file(self) -> bool:
        ground = self.coverage_file
        one = self._to_file and ground is not None
        return one and Path(self.output).resolve() == Path(ground or "").resolve()

    def check(self, *, restart: bool) -> None:
        """Raise now what writing would raise after hours of work.

        Args:
            restart: Whether the work of an earlier run is given up.
        """
        from geodetect.detection.run.journal import files_left_by
        from geodetect.io.vector import write as vector

        journal = None if restart else self._journal_file
        own = self.overwrite or (journal is not None and files_left_by(journal))
        if self._to_file:
            options = self._options | {"overwrite": own}
            vector.check_target(self.output, **options, style=self.style)
        if self._in_one_file and not self._is_geopackage:
            raise typer.BadParameter(
                "only a GeoPackage (.gpkg) holds a second layer; name another file",
                param_hint="--coverage",
            )
        if self.coverage is not None and not self._in_one_file:
            vector.check_target(self.coverage, overwrite=own)

    def write(
        self,
        objects: DetectionLayer,
        coverage: Sequence[RasterCoverage],
        *,
        journal: Journal | None = None,
    ) -> None:
        """Write the layers, detections last: once they are there, all is.

        Args:
            objects: What was found.
            coverage: The ground that was looked at.
            journal: That of the run. What an earlier run left, which died while its files
                appeared, is replaced.
        """
        from geodetect.io.vector import write as vector
        from geodetect.io.vector.geopackage import Layer, write_layers
        from geodetect.io.vector.qgis_style import score_qml

        options = self._options
        if journal is not None:
            options["overwrite"] = self.overwrite or journal.is_own
            options["publishing"] = journal.note_files
        if self._in_one_file:
            found = Layer(vector.LAYER, objects, score_qml() if self.style else None)
            ground = _ground(coverage, styled=self.style or self.coverage is not None)
            write_layers([found, ground], self.output, **options)
            return
        if self.coverage is not None:
            crs = self.crs if vector.format_of(self.coverage).any_crs else None
            ground_options = options | {"format": None, "crs": crs}
            write_layers([_ground(coverage)], self.coverage, **ground_options)
        if self.output == "-":
            write_stream(objects)
        elif self.output:
            vector.write(objects, self.output, **options, style=self.style)


@contextmanager
def kept(journal: Journal | None) -> Iterator[None]:
    """Remove the journal when the block ends well; when it is interrupted, say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        done = len(journal) if journal is not None else 0
        if done == 0:
            raise
        raise KeyboardInterrupt("interrupted; the same command goes on where it stopped") from None
    else:
        if journal is not None:
            journal.discard()
    finally:
        if journal is not None:
            journal.close()


def _ground(coverage: Sequence[RasterCoverage], *, styled: bool = True) -> Layer:
    from geodetect.detection.coverage import LAYER, STYLE, coverage_table
    from geodetect.io.vector.geopackage import Layer

    return Layer(LAYER, coverage_table(coverage), STYLE if styled else None)
