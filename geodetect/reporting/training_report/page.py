"""A run folder of ``geodetect train`` as one page that works offline."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from geodetect.io.atomic import write_atomically
from geodetect.io.vector.qgis_style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from geodetect.reporting.drawing.contact_sheet import arrange
from geodetect.reporting.drawing.images import encoded, write_picture
from geodetect.reporting.html import markup
from geodetect.reporting.html.template import filled_page
from geodetect.reporting.map_report.imagery_store import data_uri
from geodetect.reporting.training_report.facts import (
    card_facts,
    key_figures,
    label_parts,
    settings_table,
    share,
    split_table,
)
from geodetect.reporting.training_report.plots import write_training_plots
from geodetect.reporting.training_report.run import SPLIT, VALIDATION, TrainingRun, read_run
from geodetect.reporting.training_report.worst_errors import ErrorChips, error_chips
from geodetect.types import PathLike

PAGE = "index.html"
CHIPS = 24  # of each kind of error
PLOT_TEXTS = {
    "loss": "Loss and learning rate over the steps of the training",
    "validation": "AP50, F1, precision and recall on held-out ground over the steps",
    "precision-recall": "Precision over recall on held-out ground",
    "f1": "Precision, recall and F1 over the score threshold",
    "reliability": "Share of right detections over their score",
}
COLOURS = (
    ("missed", FALSE_NEGATIVE),
    ("found", TRUE_POSITIVE),
    ("false alarm", FALSE_POSITIVE),
)


def write_training_page(
    run_dir: PathLike, *, model: PathLike | None = None, overwrite: bool = False
) -> Path:
    """Sum up a training on one page, with plots and the worst errors as files beside it.

    Reads what is there of ``metrics.csv``, ``validation.gpkg``, ``split.geojson``, ``labels.json``
    and the model; the page says what is missing. It holds its pictures inside, so that it can be
    sent as one file. Beside it are the plots ``loss.png``, ``validation.png``,
    ``precision-recall.png``, ``f1.png``, ``reliability.png`` and the contact sheets ``misses.png``
    and ``false-alarms.png``.

    Args:
        run_dir: The run folder.
        model: File of the model; None: see `read_run`.
        overwrite: Replace the page and pictures of an earlier call.

    Returns:
        The page, ``index.html`` in the run folder.

    Raises:
        InputError: There is no such folder, or a file in it is damaged.
        ModelFileError: The model file cannot be read.
        OutputError: The page exists, or cannot be written.
    """
    run = read_run(run_dir, model)
    target = run.folder / PAGE
    with write_atomically(target, overwrite=overwrite) as page:
        plots = write_training_plots(run, overwrite=overwrite)
        body = [
            markup.pairs(key_figures(run), kind="figures"),
            *_course(run, plots),
            *_validation(run, plots),
            *_errors(run, overwrite=overwrite),
            *_data(run),
            *_model(run),
        ]
        page.write_text(_filled(run, "\n".join(body)), encoding="utf-8")
    return target


def _filled(run: TrainingRun, body: str) -> str:
    name = run.card.name if run.card is not None else run.folder.resolve().name
    description = run.card.description if run.card is not None else ""
    return filled_page(
        "training.html",
        f"Training of {name}",
        style="training.css",
        sources="img-src data:; style-src 'unsafe-inline'",
        lead=markup.paragraph(description, kind="soft") if description else "",
        body=body,
    )


def _course(run: TrainingRun, plots: dict[str, Path]) -> Iterator[str]:
    """Loss and validation over the steps."""
    shown = [name for name in ("loss", "validation") if name in plots]
    if not shown:
        text = "The run folder has no metrics.csv with losses, so there are no curves."
        yield markup.section("Course of the training", markup.paragraph(text, kind="soft"))
        return
    pictures = [markup.picture(plots[name], PLOT_TEXTS[name]) for name in shown]
    missing = "" if "validation" in shown else "Nothing was measured in the course of the training."
    note = markup.paragraph(missing, kind="soft") if missing else ""
    yield markup.section("Course of the training", note, markup.cards(pictures))


def _validation(run: TrainingRun, plots: dict[str, Path]) -> Iterator[str]:
    """Curves and figures on held-out ground."""
    title = "On held-out ground"
    figures = run.class_figures()
    if not figures:
        text = (
            f"There is no {VALIDATION}: no ground with objects was held out, so how good the model "
            f"is was not measured."
        )
        yield markup.section(title, markup.paragraph(text, kind="warning"))
        return
    at = figures[-1].at_threshold
    text = (
        f"Detections and objects match from an IoU of 0.5. With scores from {run.conf:.2f} up, "
        f"{at.true_positives:,} of {figures[-1].n_truth:,} objects are found, with "
        f"{at.false_positives:,} {'false alarm' if at.false_positives == 1 else 'false alarms'}."
    )
    rows = [
        (
            one.class_name,
            f"{one.n_truth:,}",
            *(share(v) for v in (one.ap50, one.at_threshold.f1)),
            *(share(v) for v in (one.at_threshold.precision, one.at_threshold.recall)),
        )
        for one in figures
    ]
    head = ("Class", "Objects", "AP50", "F1", "Precision", "Recall")
    shown = [name for name in ("precision-recall", "f1", "reliability") if name in plots]
    pictures = [markup.picture(plots[name], PLOT_TEXTS[name]) for name in shown]
    reading = (
        "Reliability: the nearer the points are to the diagonal, the more a score says; of "
        "detections with a score of 0.8, 80 % should be real. Bars are 95 % intervals, numbers "
        f"count detections. {_calibration_note(run)}"
    )
    note = markup.paragraph(reading, kind="soft") if "reliability" in shown else ""
    parts = markup.paragraph(text), markup.table(head, rows), markup.cards(pictures), note
    yield markup.section(title, *parts)


def _calibration_note(run: TrainingRun) -> str:
    if run.card is None or run.card.calibration is not None:
        return "The calibration was fitted on this same ground."
    return "Scores are not calibrated: that takes more right and wrong detections."


def _errors(run: TrainingRun, *, overwrite: bool) -> Iterator[str]:
    """The worst misses and false alarms, with a contact sheet of each beside the page."""
    if run.detections is None or run.truth is None:
        return
    misses, alarms = error_chips(run.detections, run.truth, conf=run.conf, count=CHIPS)
    yield from _error_section(
        run, "Missed objects", misses, sheet="misses.png", overwrite=overwrite
    )
    yield from _error_section(run, "False alarms", alarms, sheet="false-alarms.png",
                              overwrite=overwrite)  # fmt: skip


def _error_section(
    run: TrainingRun, title: str, errors: ErrorChips, *, sheet: str, overwrite: bool
) -> Iterator[str]:
    if not errors.total:
        yield markup.section(title, markup.paragraph("None.", kind="soft"))
        return
    first = "those not found at all, the largest first" if sheet == "misses.png" else "the surest"
    shown = len(errors.chips)
    which = f"{errors.total:,} at this threshold; shown: {shown}, {first}."
    unread = [
        markup.paragraph(f"{name} cannot be shown: {reason}", kind="warning")
        for name, reason in errors.unread.items()
    ]
    pictures = ""
    if errors.chips:
        image = arrange(f"{title} of {run.folder.resolve().name}: {which}", errors.chips)
        write_picture(image, run.folder / sheet, overwrite=overwrite)
        sources = [(data_uri(encoded(c.convert("RGBA"))), text) for c, text in errors.chips]
        pictures = _colour_key() + markup.chips(sources)
    yield markup.section(title, markup.paragraph(which, kind="soft"), *unread, pictures)


def _colour_key() -> str:
    keys = (
        f'<i class="key" style="color: rgb{colour}"></i>{html.escape(name)}'
        for name, colour in COLOURS
    )
    return f'<p class="soft">Outlines:{"".join(keys)}</p>'


def _data(run: TrainingRun) -> Iterator[str]:
    """Label check and split."""
    if run.labels is None:
        text = "The run folder has no labels.json: the label check was not kept."
        yield markup.section("Labels", markup.paragraph(text, kind="soft"))
    else:
        yield markup.section("Labels", *label_parts(run.labels))
    if run.split is None:
        text = f"The run folder has no {SPLIT}: which ground was held out is not known."
        yield markup.section("Ground", markup.paragraph(text, kind="soft"))
    else:
        text = f"{SPLIT} opens in QGIS and other GIS."
        yield markup.section("Ground", markup.paragraph(text, kind="soft"), split_table(run.split))


def _model(run: TrainingRun) -> Iterator[str]:
    if run.card is None:
        text = "No model file is in or beside the run folder, so its card is not shown."
        yield markup.section("Model", markup.paragraph(text, kind="warning"))
        return
    parts = [markup.pairs(card_facts(run.card))]
    if run.card.training.data:
        parts += [markup.heading("Data"), markup.bullets(run.card.training.data)]
    if run.card.training.settings:
        parts.append(markup.details("Settings of the training", settings_table(run.card)))
    yield markup.section("Model", *parts)
