"""Predictions written to files, resumable when interrupted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, Unpack

from pyproj import CRS

from geodetect.detection.coverage import COVERAGE_STYLE, coverage_table
from geodetect.detection.detection_layer import DetectionLayer
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.predict import predict_layer
from geodetect.detection.run.journal import LONG_RUN_TILES, SUFFIX, Journal, read_files
from geodetect.errors import InputError
from geodetect.geo.crs import WGS84, parse_crs
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.atomic import check_folder, final_path
from geodetect.io.inputs import protect_inputs
from geodetect.io.sources.find import find_rasters
from geodetect.io.vector import write as vector
from geodetect.io.vector.geopackage import Layer, encode_layers
from geodetect.io.vector.read import COVERAGE_LAYER
from geodetect.progress import (
    Progress,
    announce,
    as_progress,
    no_progress,
    phase,
    reports_progress,
)
from geodetect.settings import PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PredictKeywords
from geodetect.types import PathLike, RasterSource

MAX_NAME_BYTES = 200  # of a journal, which adds to the name; file systems have 255


@takes_settings(PredictSettings)
@reports_progress
def predict_to_file(
    rasters: RasterSource | Sequence[RasterSource],
    output: PathLike | TextIO,
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | Mapping[str, Any] | None = None,
    coverage: PathLike | None = None,
    format: str | None = None,  # noqa: A002 (as in write)
    crs: str | None = None,
    style: bool = False,
    overwrite: bool = False,
    journal: bool = True,
    restart: bool = False,
    work_dir: PathLike | None = None,
    progress: Progress | bool = False,
    **keywords: Unpack[PredictKeywords],
) -> DetectionLayer:
    """Detect objects in rasters and write them to a file, as ``geodetect predict`` does.

    Finished rows of tiles are kept in a journal, one file beside the output. A run that was
    interrupted or killed resumes when it is called again with the same arguments; the result is
    the same to the byte. The journal is removed when all files are written; if a raster could not
    be read somewhere it stays, and the same call fills these holes and replaces the files.

    Args:
        rasters: As for ``predict``.
        output: File of the detections, see ``write``; or a text stream, which gets GeoJSON.
        model: As for ``predict``.
        settings: As for ``predict``.
        coverage: File of the searched and skipped areas (see ``coverage_table``), in any vector
            format; by default layer ``coverage`` of the output if that is a GeoPackage, else none.
        format: Format of the detections, whatever the suffix.
        crs: CRS of detections and coverage; by default that of the first raster.
        style: Have QGIS draw objects coloured by score. GeoPackage and GeoJSON only.
        overwrite: Replace files that exist.
        journal: Keep a journal.
        restart: Discard the journal of an earlier run, and start over.
        work_dir: Folder of the journal, which is then kept for short runs too; by default that of
            the output, for runs of 100 tiles and more.
        progress: As for ``predict``.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        The objects of all rasters, with the summary and the coverage of the run.

    Raises:
        RasterError: As for ``predict``.
        InputError: As for ``predict``; or options that do not fit together, or the journal is of
            another run. A detector needs an ``identity`` for a journal.
        GeoreferenceError: A CRS that cannot be used.
        OutputError: A file exists or cannot be written; checked before any tile is read.
        OutOfMemoryError: As for ``predict``.
    """
    files = PredictionFiles(
        output=Path(output) if isinstance(output, str | os.PathLike) else output,
        coverage=None if coverage is None else Path(coverage),
        format=format,
        crs=crs,
        style=style,
        overwrite=overwrite,
        journal=journal,
        restart=restart,
        work_dir=None if work_dir is None else Path(work_dir),
    )
    settings = PredictSettings.resolve(settings, keywords)
    rasters = as_raster_paths(rasters)
    progress = as_progress(progress)
    with protect_inputs(find_rasters(rasters, quiet=True), model, settings.aoi):
        return files.predict(rasters, model, settings=settings, progress=progress)


@dataclass(frozen=True, kw_only=True)
class PredictionFiles:
    """Files of a run, with the arguments of ``predict_to_file``; ``output`` None: no detections."""

    output: Path | TextIO | None
    coverage: Path | None = None
    format: str | None = None
    crs: str | None = None
    style: bool = False
    overwrite: bool = False
    journal: bool = True
    restart: bool = False
    work_dir: Path | None = None

    @property
    def coverage_file(self) -> Path | None:
        """File of the coverage: the output itself if that is a GeoPackage and no other is named."""
        if self.coverage is None and isinstance(self.output, Path):
            is_geopackage = vector.format_of(self.output, self.format).name == "gpkg"
            return self.output if is_geopackage else None
        return self.coverage

    @property
    def journal_file(self) -> Path | None:
        """Journal of the run; None: it keeps none, or has no folder for it."""
        if self.journal and isinstance(self.output, Path):
            name = self.output.name
            if len(os.fsencode(name)) > MAX_NAME_BYTES:
                name = hashlib.sha256(os.fsencode(name)).hexdigest()
            return (self.work_dir or self.output.parent) / f"{name}{SUFFIX}"
        return self.work_dir / f"predict{SUFFIX}" if self.journal and self.work_dir else None

    @property
    def run_folder(self) -> Path | None:
        """Folder in place of the journal, of a run on a cluster; None: there is no place for it."""
        return self.journal_file and self.journal_file.with_suffix(".run")

    @property
    def _is_shared(self) -> bool:
        """Detections and coverage are layers of one file."""
        output, coverage = self.output, self.coverage_file
        if not isinstance(output, Path) or coverage is None:
            return False
        return final_path(output) == final_path(coverage)

    @property
    def output_crs(self) -> list[CRS]:
        """CRS that the files are converted to."""
        files = [file for file in (self.output, self.coverage_file) if isinstance(file, Path)]
        kinds = [vector.format_of(file, self.format if file == self.output else None)
                 for file in files]  # fmt: skip
        is_stream = self.output is not None and not isinstance(self.output, Path)
        targets = [WGS84] if is_stream or any(kind.has_lonlat for kind in kinds) else []
        return targets if self.crs is None else [*targets, parse_crs(self.crs, parameter="crs")]

    def predict(
        self,
        rasters: PathLike | Sequence[PathLike],
        model: PathLike | Detector,
        *,
        settings: PredictSettings | None = None,
        progress: Progress = no_progress,
    ) -> DetectionLayer:
        """Check the files, detect and write, see ``predict_to_file``."""
        self.check()
        path = self.journal_file
        if path is not None:
            check_folder(path)
        min_tiles = LONG_RUN_TILES if self.work_dir is None else 0
        with (
            nullcontext()
            if path is None
            else Journal(path, min_tiles=min_tiles, restart=self.restart)
        ) as journal:
            try:
                layer = predict_layer(
                    rasters,
                    model,
                    settings=settings,
                    progress=progress,
                    journal=journal,
                    output_crs=self.output_crs,
                )
                has_holes = layer.summary.unread_tiles > 0
                if journal is not None and has_holes:
                    journal.keep()
                self.write(layer, journal)
            except KeyboardInterrupt:
                if not journal:  # no journal, or an empty one
                    raise
                message = "interrupted; run the same again to resume where it stopped"
                raise KeyboardInterrupt(message) from None
            if journal is not None and not has_holes:
                journal.discard()
            elif journal is not None and journal.is_open:
                announce(f"the same command fills the holes; what is finished is in {journal.path}")
        return layer

    def check(self) -> None:
        """Raise the errors of ``write`` that are predictable before hours of detection.

        Raises:
            InputError: An unknown format, or options that do not fit together.
            GeoreferenceError: A CRS that cannot be used.
            OutputError: A file exists, or its folder is missing or cannot be written to.
        """
        journal = self.journal_file
        replaceable = set() if self.restart or journal is None else read_files(journal)
        if isinstance(self.output, Path):
            kind = vector.format_of(self.output, self.format)
            vector.check_target(
                self.output,
                format=self.format,
                crs=self.crs,
                overwrite=self.overwrite,
                replaceable=replaceable,
                style=self.style,
            )
            if self._is_shared and kind.name != "gpkg":
                raise InputError(
                    "only a GeoPackage (.gpkg) holds a second layer; name another file with "
                    "`coverage`"
                )
        elif self.output is not None and (self.crs or self.format or self.style):
            raise InputError("a stream gets plain GeoJSON, without `crs`, `format` and `style`")
        if self.coverage is not None and not self._is_shared:
            vector.check_target(
                self.coverage,
                overwrite=self.overwrite,
                replaceable=replaceable,
                layers=(COVERAGE_LAYER,),
                takes_format=False,
            )

    def write(self, layer: DetectionLayer, journal: Journal | None) -> None:
        """Write the files, detections last: when they appear, the coverage exists, too.

        Args:
            layer: Detections and coverage.
            journal: Journal, which records the files before they appear. Files that an interrupted
                execution of the run has recorded are replaced.

        Raises:
            GeoreferenceError: A CRS that cannot be used.
            OutputError: A file exists or cannot be written.
        """
        file, output = self.coverage_file, self.output
        layers = []
        if file is not None:
            is_styled = self.style or self.coverage is not None
            qgis_style = COVERAGE_STYLE if is_styled else None
            layers = [Layer(COVERAGE_LAYER, coverage_table(layer.coverage), qgis_style)]
        if file is not None and not self._is_shared:
            kind = vector.format_of(file)
            staged = self._staged_file(file, kind, journal, layers=(COVERAGE_LAYER,))
            with phase("Writing the coverage"), staged as path:
                encode_layers(layers, path, kind, crs=self.crs if kind.any_crs else None)
        if isinstance(output, Path):
            kind = vector.format_of(output, self.format)
            with phase("Writing the objects"), self._staged_file(output, kind, journal) as path:
                if self._is_shared:
                    style = vector.score_style(layer) if self.style else None
                    layers = [Layer(vector.LAYER, layer, style), *layers]
                    encode_layers(layers, path, kind, crs=self.crs)
                else:
                    vector.encode(layer, path, kind, crs=self.crs, style=self.style)
        elif output is not None:
            vector.to_geojson(layer, output)
            output.flush()  # while the journal exists: the stream may fail

    @contextmanager
    def _staged_file(
        self,
        target: Path,
        kind: vector.Format,
        journal: Journal | None,
        layers: Collection[str] = vector.OWN_LAYERS,
    ) -> Iterator[Path]:
        replaceable = () if journal is None else journal.files
        with vector.staged_file(
            target, kind, overwrite=self.overwrite, replaceable=replaceable, layers=layers
        ) as path:
            yield path
            if journal is not None:
                journal.record_files(path)
