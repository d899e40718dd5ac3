"""A run folder of ``geodetect train`` as one page that works offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geodetect.io.atomic import write_atomically
from geodetect.io.vector.qgis_style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, hex_colour
from geodetect.progress import phase
from geodetect.reporting.drawing.contact_sheet import arrange_thumbnails
from geodetect.reporting.drawing.images import data_uri, encode_webp, write_image
from geodetect.reporting.html.template import render
from geodetect.reporting.training_report.facts import (
    card_tables,
    format_fraction,
    key_figures,
    label_tables,
    split_rows,
)
from geodetect.reporting.training_report.plots import write_training_plots
from geodetect.reporting.training_report.run import TrainingRun, read_run
from geodetect.reporting.training_report.worst_errors import draw_worst_errors
from geodetect.types import PathLike

PAGE = "index.html"
MAX_THUMBNAILS = 24  # of each kind of error
COLOURS = (
    ("missed", FALSE_NEGATIVE),
    ("true positive", TRUE_POSITIVE),
    ("false positive", FALSE_POSITIVE),
)


@phase("Drawing plots and the page")
def write_training_page(
    run_dir: PathLike, *, model: PathLike | None = None, overwrite: bool = False
) -> Path:
    """Summarize a training on one page, with plots and the worst errors as files beside it.

    Reads ``metrics.csv``, ``validation.gpkg``, ``split.geojson``, ``labels.json`` and the model, as
    far as they exist; the page names those that are missing. Its images are embedded, so that it
    can be sent as one file. Beside it are the plots ``loss.png``, ``validation.png``,
    ``precision-recall.png``, ``f1.png``, ``reliability.png`` and the contact sheets
    ``false-negatives.png`` and ``false-positives.png``.

    Args:
        run_dir: The run folder.
        model: The model file; None: see `read_run`.
        overwrite: Replace the page and images of an earlier call.

    Returns:
        The page, ``index.html`` in the run folder.

    Raises:
        InputError: There is no such folder, or a file in it is damaged.
        ModelFileError: The model file cannot be read.
        OutputError: The page exists, or cannot be written.
    """
    run = read_run(run_dir, model)
    card, target = run.card, run.folder / PAGE
    with write_atomically(target, overwrite=overwrite) as page:
        plots = write_training_plots(run, overwrite=overwrite)
        html = render(
            "training_report.html",
            title=f"Training of {run.name}",
            description="" if card is None else card.description,
            key_figures=key_figures(run),
            plots={name: data_uri(f.read_bytes(), "image/png") for name, f in plots.items()},
            **_validation_values(run),
            errors=_write_error_sheets(run, overwrite=overwrite),
            colours=[(name, hex_colour(colour)) for name, colour in COLOURS],
            labels=None if run.labels is None else label_tables(run.labels),
            split=None if run.split is None else split_rows(run.split),
            card=None if card is None else card_tables(card),
        )
        page.write_text(html, encoding="utf-8")
    return target


def _validation_values(run: TrainingRun) -> dict[str, Any]:
    """Return the metrics of each class and the counts of all, at the score threshold."""
    classes = run.class_metrics()
    if not classes:
        return {"class_metrics": []}
    overall, point = classes[-1], classes[-1].at_threshold
    rows = []
    for metrics in classes:
        at_threshold = metrics.at_threshold
        values = metrics.ap50, at_threshold.f1, at_threshold.precision, at_threshold.recall
        rows.append((metrics.class_name, f"{metrics.n_truth:,}", *map(format_fraction, values)))
    return {
        "class_metrics": rows,
        "score_threshold": f"{run.score_threshold:.2f}",
        "tp": f"{point.tp:,}",
        "fp": f"{point.fp:,}",
        "n_truth": f"{overall.n_truth:,}",
        "is_calibrated": run.card is None or run.card.calibration is not None,
    }


def _write_error_sheets(run: TrainingRun, *, overwrite: bool) -> list[dict[str, Any]]:
    """Draw the worst errors, and write a contact sheet of each kind beside the page."""
    if run.detections is None or run.truth is None:
        return []
    negatives, positives = draw_worst_errors(
        run.detections, run.truth, score_threshold=run.score_threshold, count=MAX_THUMBNAILS
    )
    sections, folder_name = [], run.folder.resolve().name
    for title, file_name, order, errors in (
        ("Misses (false negatives)", "false-negatives.png",
         "first those without any prediction, the largest first", negatives),
        ("False positives", "false-positives.png", "those of the highest scores", positives),
    ):  # fmt: skip
        n_shown = len(errors.thumbnails)
        summary = f"{errors.total:,} at this score threshold; shown: {n_shown}, {order}."
        if errors.thumbnails:
            sheet = arrange_thumbnails(f"{title} of {folder_name}: {summary}", errors.thumbnails)
            write_image(sheet, run.folder / file_name, overwrite=overwrite)
        sections.append(
            {
                "title": title,
                "total": errors.total,
                "summary": summary,
                "unreadable": errors.unreadable,
                "thumbnails": [
                    (data_uri(encode_webp(image.convert("RGBA"))), caption)
                    for image, caption in errors.thumbnails
                ],
            }
        )
    return sections
