"""``geodetect report``: predictions on their imagery as a page that works offline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd

from geodetect.assessment.searched_area import find_coverage
from geodetect.assessment.summarize.count_correction import ErrorRates
from geodetect.assessment.summarize.zone_layers import refuse_same_layer
from geodetect.display import Displayed, Rows
from geodetect.errors import InputError, list_names
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.inputs import protect_inputs
from geodetect.progress import Progress, no_progress, phase, reports_progress
from geodetect.redaction import redact
from geodetect.reporting.drawing.canvas import RasterCanvas
from geodetect.reporting.drawing.layers import (
    blank_canvas,
    place_on_canvas,
    read_prediction_table,
    read_truth_table,
)
from geodetect.reporting.drawing.match_result import match_layers
from geodetect.reporting.drawing.mosaic import Mosaic, open_imagery
from geodetect.reporting.drawing.statuses import find_statuses
from geodetect.reporting.drawing.zones import ZoneCounts, count_zones
from geodetect.reporting.html.output_folder import check_page, files_folder, write_page
from geodetect.reporting.html.template import embed_json, render
from geodetect.reporting.map_report.gallery import error_thumbnails, prediction_thumbnails
from geodetect.reporting.map_report.image_pyramid import plan_pyramid, write_imagery
from geodetect.reporting.map_report.payload import (
    describe_objects,
    imagery_facts,
    map_payload,
    zones_payload,
)
from geodetect.settings import ReportSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import ReportKeywords
from geodetect.types import PathLike, RasterSource

THUMBNAIL_RATIO = 1.5  # objects get thumbnails if the imagery is coarser than the raster by this


@dataclass(frozen=True, repr=False)
class ReportSummary(Displayed):
    """Content and size of a report.

    Args:
        output: The page.
        predictions: Number of predictions, or of changes, on it.
        detected: Number of predictions among them; changes may be of the register only.
        outside: Number of predictions that are not on the raster and were left out.
        page_bytes: Size of the page.
        folder: Folder of the image tiles beside the page; None if they are embedded, or there is
            no imagery.
        image_tiles: Number of image tiles.
        image_bytes: Size of all image tiles.
        imagery_gsd_m: Ground size of the finest pixels shown; None without imagery or CRS.
        rasters: Number of rasters shown.
        statuses: Number of objects by status; None unless they are changes.
        errors: Number of objects by result at the score threshold: ``tp``, ``fp``, ``fn``, and
            ``loose``, predictions whose box is off; None without ground truth.
        zones: Zones with their counts; None without zones.
    """

    output: Path
    predictions: int
    detected: int
    outside: int
    page_bytes: int
    folder: Path | None
    image_tiles: int
    image_bytes: int
    imagery_gsd_m: float | None
    rasters: int = 0
    statuses: dict[str, int] | None = None
    errors: dict[str, int] | None = None
    zones: ZoneCounts | None = None

    def display_rows(self) -> Rows:
        """Return the page, and what it shows."""
        yield "Page", f"{self.output}, {self.page_bytes / 1e6:,.1f} MB"
        if self.folder is not None:
            yield "Image tiles", f"{self.image_tiles:,} in {self.folder}"
        yield "Rasters", f"{self.rasters:,}"
        yield "Predictions", f"{self.detected:,}"
        if self.outside:
            yield "Off the rasters", f"{self.outside:,}, left out"
        if self.statuses is not None:
            yield "Changes", list_names(f"{n:,} {name}" for name, n in self.statuses.items())
        if self.errors is not None:
            yield "Errors", list_names(f"{n:,} {name}" for name, n in self.errors.items())


@takes_settings(ReportSettings)
@reports_progress
def report(
    predictions: PathLike | gpd.GeoDataFrame,
    output: str | os.PathLike[str],
    *,
    raster: RasterSource | Sequence[RasterSource] | None = None,
    truth: PathLike | gpd.GeoDataFrame | None = None,
    zones: PathLike | gpd.GeoDataFrame | None = None,
    coverage: PathLike | gpd.GeoDataFrame | None = None,
    rates: ErrorRates | None = None,
    settings: ReportSettings | Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
    **keywords: Unpack[ReportKeywords],
) -> ReportSummary:
    """Write a page that shows predictions or changes on their imagery; it works offline.

    The page has a map with outlines or boxes over the imagery, a score threshold, a class filter,
    counts and histograms, with ground truth also precision, recall, their curve and the worst
    errors.
    Changes are coloured by their status and listed in the order in which they are worked on. Zones
    are shaded by the density of objects, and listed with their counts.
    Objects are drawn in the pixels of the raster, whatever its georeference. Small rasters are
    embedded in the page; large ones are cut into image tiles in a folder beside it,
    ``report_files``. The same input gives the same files.

    Args:
        predictions: Vector file of any format and CRS, or a table: predictions, or the changes that
            ``compare`` wrote.
        output: The page, ``*.html``.
        raster: The imagery: files, folders or URLs, arrays, or open datasets of rasterio. Several
            are one map: where they overlap the first is on top, and those in other CRS are warped
            to that of the first. None: boxes on a blank map.
        truth: Ground truth to compare with.
        zones: Polygons to count by, or the layer that ``summarize`` wrote.
        coverage: Area that was searched; None: the coverage that ``predict`` or ``compare`` wrote
            into the GeoPackage of the predictions, else everything.
        rates: Error rates of the detector, which correct the counts of zones.
        settings: Title, imagery, score threshold and matching.
        overwrite: Replace the page and its folder.
        progress: Called with the number of finished image tiles.
        keywords: Settings by name, such as ``title="Pools"``; they win over ``settings``.

    Returns:
        Content and size of the report.

    Raises:
        InputError: Files that cannot be used, or that are of different areas.
        RasterError: The imagery cannot be read.
        OutputError: The page exists, or cannot be written.
    """
    settings, target = ReportSettings.resolve(settings, keywords), Path(output)
    paths = None if raster is None else as_raster_paths(raster)
    with (
        protect_inputs(predictions, paths, truth, zones, coverage),
        nullcontext() if paths is None else open_imagery(paths, settings) as opened,
    ):
        check_page(target, overwrite=overwrite)
        if zones is not None:
            refuse_same_layer(predictions, zones)
        tables = [read_prediction_table(predictions, settings)]
        if truth is not None:
            tables.append(read_truth_table(truth, settings))
        is_changes = bool(find_statuses(tables[0]))
        if is_changes and truth is not None:
            raise InputError(
                "the predictions are changes, which are compared with a register already; leave "
                "`truth` away, or name predictions to compare with it"
            )
        canvas = blank_canvas(*tables) if opened is None else RasterCanvas.from_raster(opened)
        prediction_layer = place_on_canvas(tables[0], canvas)
        matches = imagery = None
        if truth is not None:
            truth_layer = place_on_canvas(tables[1], canvas, name="objects of the ground truth")
            by_class = False if settings.ignore_classes else None
            matches = match_layers(
                prediction_layer,
                truth_layer,
                iou=settings.iou,
                distance_m=settings.distance,
                by_class=by_class,
            )
        payload = map_payload(
            canvas,
            prediction_layer,
            matches,
            address_field=settings.address_field,
            permit_field=settings.permit_field,
        )
        zone_counts = None
        if zones is not None:
            zone_counts = count_zones(
                tables[0],
                zones,
                canvas,
                statuses=prediction_layer.statuses,
                coverage=coverage,
                default_coverage=find_coverage(predictions),
                rates=rates,
                conf=settings.conf,
                zones_crs=settings.zones_crs,
            )
        elif coverage is not None or rates is not None:
            raise InputError("`coverage` and error rates are for counts by zone; name `zones`, too")
        conf = settings.conf
        if conf is None and zone_counts is not None:
            conf = zone_counts.conf  # so that the page starts with the objects that were counted
        payload |= {
            "zones": None if zone_counts is None else zones_payload(zone_counts),
            "score_threshold": conf,
            "errors": None,
            "thumbnails": {},
        }
        with write_page(target, overwrite=overwrite) as page:
            if isinstance(canvas, RasterCanvas):
                opened_raster = canvas.raster
                covered = opened_raster.covered_fraction if isinstance(opened_raster, Mosaic) else 1
                plan = plan_pyramid(
                    canvas.grid,
                    placement=settings.imagery,
                    gsd_m=settings.gsd,
                    covered_fraction=covered,
                )
                with phase("Writing the imagery", "tiles", progress=progress) as advance:
                    imagery = write_imagery(canvas.raster, plan, files_folder(page), advance)
                if matches is not None:
                    payload["errors"] = error_thumbnails(
                        canvas, matches, score_threshold=conf, count=settings.thumbnails
                    )
                if canvas.grid.width > THUMBNAIL_RATIO * imagery.grid.width:
                    payload["thumbnails"] = prediction_thumbnails(canvas, prediction_layer)
            payload["imagery"] = imagery.payload if imagery else None
            default_title = "Changes" if is_changes else "Predictions"
            if opened is not None:
                default_title += f" in {opened.name}"
            elif not isinstance(predictions, gpd.GeoDataFrame):
                default_title += f" in {Path(redact(os.fspath(predictions))).name}"
            html = render(
                "map_report.html",
                title=settings.title or default_title,
                note=settings.note,
                headline=describe_objects(prediction_layer, matches, conf),
                facts=imagery_facts(canvas),
                data=embed_json(payload),
            )
            page.write_text(html, encoding="utf-8")
            page_bytes = page.stat().st_size
    return ReportSummary(
        output=target,
        predictions=len(prediction_layer),
        detected=prediction_layer.n_detected,
        outside=prediction_layer.n_outside,
        page_bytes=page_bytes,
        folder=files_folder(target) if imagery and imagery.folder else None,
        image_tiles=imagery.tiles if imagery else 0,
        image_bytes=imagery.size_bytes if imagery else 0,
        imagery_gsd_m=imagery.grid.gsd_m if imagery else None,
        rasters=0 if opened is None else len(opened.rasters) if isinstance(opened, Mosaic) else 1,
        statuses=prediction_layer.status_counts if is_changes else None,
        errors=None if matches is None else matches.count_results(prediction_layer.count_at(conf)),
        zones=zone_counts,
    )
