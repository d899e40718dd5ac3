"""What the page of a training says in numbers: key figures, card, labels and split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import geopandas as gpd

from geodetect.model.card import Calibration, ModelCard
from geodetect.progress import duration
from geodetect.reporting.html import markup
from geodetect.reporting.training_report.run import TrainingRun

NAMES = {
    "ap50": "AP50",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "ap50_95": "AP50:95",
    "ece": "Calibration error",
    "objects": "Objects held out",
}
MOST_RASTERS = 30  # rows of a table


def key_figures(run: TrainingRun) -> list[tuple[str, str]]:
    """The figures at the top of the page, as names and values."""
    metrics = run.card.metrics if run.card is not None else {}
    figures = run.class_figures()
    if not metrics and figures:
        at = figures[-1].at_threshold
        rates = {"f1": at.f1, "precision": at.precision, "recall": at.recall}
        metrics = {"ap50": figures[-1].ap50, **rates, "objects": figures[-1].n_truth}
    rows = [
        (name, f"{metrics[key]:,.0f}" if key == "objects" else share(metrics[key]))
        for key, name in NAMES.items()
        if key in metrics
    ]
    if run.card is not None or figures:
        rows.append(("Score threshold", f"{run.conf:.2f}"))
    return rows + _effort(run)


def _effort(run: TrainingRun) -> list[tuple[str, str]]:
    """Steps and time."""
    rows = []
    if run.card is not None and run.card.training.steps:
        rows.append(("Steps", f"{run.card.training.steps:,}"))
    elif run.history is not None and len(run.history):
        rows.append(("Steps", f"{run.history['step'].max():,.0f}"))
    if run.history is not None and "seconds" in run.history and len(run.history):
        seconds = run.history["seconds"].max()
        if math.isfinite(seconds):
            rows.append(("Time", duration(seconds)))
    return rows


def card_facts(card: ModelCard) -> list[tuple[str, str]]:
    """What the model says of itself, as names and values; what it does not say is left out."""
    training, network = card.training, card.network
    rows = [
        ("Classes", ", ".join(card.classes)),
        ("Resolution", f"{card.gsd_m:g} m per pixel" if card.gsd_m else "any"),
        ("Works on", _range(card.gsd_range_m)),
        ("Object size", _sizes(card.object_size_m)),
        ("Bands", ", ".join(card.bands or ())),
        ("Tile", f"{card.tile_px} px"),
        ("Score threshold", f"{card.conf:g}"),
        ("Calibration", _calibration(card.calibration, card.classes)),
        ("Duplicates", f"from an IoU of {card.iou:g}"),
        ("Learned from", f"{training.objects:,} objects" if training.objects else ""),
        ("Started from", training.initial_weights),
        ("Licence", training.licence),
    ]
    if network is not None:
        anchors = "; ".join(
            f"{stride} px: {', '.join(f'{size:g}' for size in sizes)}"
            for stride, sizes in zip(network.strides, network.anchor_sizes_px, strict=True)
        )
        rows += [
            ("Backbone", f"{network.backbone}, {network.trunk_stages} stages"),
            ("Pyramid", f"{network.fpn_channels} channels"),
            ("Convolutions of a head", f"{network.head_convs}"),
            ("Anchor sizes", f"{anchors} (px, by stride)"),
            ("Anchor ratios", ", ".join(f"{ratio:g}" for ratio in network.anchor_ratios)),
        ]
    return [(name, value) for name, value in rows if value]


def settings_table(card: ModelCard) -> str:
    """The settings of the training, as a table."""
    rows = [(name, "" if v is None else str(v)) for name, v in card.training.settings.items()]
    return markup.table(("Setting", "Value"), rows)


def label_parts(labels: Mapping[str, Any]) -> Iterator[str]:
    """Findings and sizes of a label check."""
    rasters = labels.get("rasters", 0)
    yield markup.paragraph(
        f"{labels.get('objects', 0):,} of {labels.get('labels', 0):,} labels lie on the imagery of "
        f"{rasters:,} {'raster' if rasters == 1 else 'rasters'}, "
        f"{labels.get('area_km2', 0.0):,.3g} km²."
    )
    for finding in labels.get("findings", ()):
        severity = finding.get("severity", "note")
        kind = {"error": "error", "warning": "warning"}.get(severity, "soft")
        text = f"{finding.get('topic', '')}: {finding.get('text', '')}"
        yield markup.paragraph(text[:1].upper() + text[1:], kind=kind)
    sizes = [
        (
            one["name"],
            f"{one['objects']:,}",
            *(_percentiles(one[key]) for key in ("width_m", "length_m", "width_px", "length_px")),
        )
        for one in labels.get("sizes", ())
    ]
    if sizes:
        yield markup.heading("Sizes (5th, 50th and 95th percentile)")
        yield markup.table(
            ("Class", "Objects", "Width m", "Length m", "Width px", "Length px"), sizes
        )
    recall = [
        (_size_range(one["low_px"], one["high_px"]), f"{one['objects']:,}", share(one["recall"]))
        for one in labels.get("recall", ())
        if one["objects"]
    ]
    if recall:
        yield markup.heading("Best-possible recall of the anchors")
        yield markup.table(("Size", "Objects", "Recall"), recall)


def split_table(split: gpd.GeoDataFrame) -> str:
    """Ground and objects of each raster by role, as a table."""
    sums = split.groupby("role")[["area_m2", "objects"]].sum()
    rows = [("All", role, *_ground(one)) for role, one in sums.iterrows()]
    by_raster = split.groupby(["raster", "role"], sort=False)[["area_m2", "objects"]].sum()
    if split["raster"].nunique() > 1:
        chosen = by_raster.iloc[:MOST_RASTERS]
        rows += [(name, role, *_ground(one)) for (name, role), one in chosen.iterrows()]
        if len(by_raster) > MOST_RASTERS:
            rows.append((f"and {len(by_raster) - MOST_RASTERS:,} more", "", "", ""))
    return markup.table(("Raster", "Role", "Area km²", "Objects"), rows)


def share(value: float) -> str:
    """Three decimals, or a dash where a figure is not defined."""
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _ground(row: Any) -> tuple[str, str]:
    return f"{row['area_m2'] / 1e6:.3f}", f"{row['objects']:,.0f}"


def _percentiles(values: Sequence[float]) -> str:
    return " / ".join(f"{value:g}" for value in values)


def _size_range(low: float, high: float | None) -> str:
    if high is None:
        return f"from {low:g} px" if low else "all"
    return f"{low:g} to {high:g} px"


def _range(gsd_m: tuple[float, float] | None) -> str:
    return "" if gsd_m is None else f"{gsd_m[0]:g} to {gsd_m[1]:g} m per pixel"


def _sizes(sizes_m: tuple[float, float, float] | None) -> str:
    if sizes_m is None:
        return ""
    small, middle, large = sizes_m
    return f"{small:g} to {large:g} m, mostly about {middle:g} m"


def _calibration(calibration: Calibration | None, classes: Sequence[str]) -> str:
    if calibration is None:
        return "none: scores as the network gives them"
    lines = zip(classes, calibration.slope, calibration.intercept, strict=True)
    texts = [(name, f"sigmoid({a:.3g} * logit {b:+.3g})") for name, a, b in lines]
    return texts[0][1] if len(texts) == 1 else "; ".join(f"{n}: {text}" for n, text in texts)
