"""Tables of a training report: key figures, model card, labels and split, as texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import geopandas as gpd

from geodetect.model.card import ModelCard
from geodetect.progress import format_duration
from geodetect.reporting.training_report.run import TrainingRun

METRIC_NAMES = {
    "ap50": "AP50",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "ap50_95": "AP50:95",
    "ece": "Calibration error",
    "objects": "Holdout objects",
}
MAX_RASTERS = 30  # rows of a table

Facts = list[tuple[str, str]]
Rows = list[tuple[str, ...]]


def key_figures(run: TrainingRun) -> Facts:
    """Return names and values of the key figures: accuracy, score threshold, steps and time."""
    card, log = run.card, run.log
    metrics = card.metrics if card is not None else {}
    classes = run.class_metrics()
    if not metrics and classes:
        overall, point = classes[-1], classes[-1].at_threshold
        metrics = {"ap50": overall.ap50, "f1": point.f1, "precision": point.precision}
        metrics |= {"recall": point.recall, "objects": overall.n_truth}
    facts = [
        (name, f"{metrics[key]:,.0f}" if key == "objects" else format_fraction(metrics[key]))
        for key, name in METRIC_NAMES.items()
        if key in metrics
    ]
    if card is not None or classes:
        facts.append(("Score threshold", f"{run.score_threshold:.2f}"))
    if card is not None and card.training.steps:
        facts.append(("Steps", f"{card.training.steps:,}"))
    elif log is not None and len(log):
        facts.append(("Steps", f"{log['step'].max():,.0f}"))
    if log is not None and "seconds" in log and math.isfinite(log["seconds"].max()):
        facts.append(("Time", format_duration(log["seconds"].max())))
    return facts


def card_tables(card: ModelCard) -> dict[str, Any]:
    """Return the content of a model card.

    Returns:
        ``facts``, names and values that the card states; ``data``, the training data in words;
        ``settings`` of the training, rows of a table.
    """
    training, network = card.training, card.network
    gsd_range = object_size = ""
    calibration = "none: scores are those of the network"
    if card.calibration is not None:
        slopes, intercepts = card.calibration.slope, card.calibration.intercept
        texts = [
            f"sigmoid({a:.3g} * logit {b:+.3g})" for a, b in zip(slopes, intercepts, strict=True)
        ]
        if len(texts) > 1:
            texts = [f"{name}: {text}" for name, text in zip(card.classes, texts, strict=True)]
        calibration = "; ".join(texts)
    if card.gsd_range_m is not None:
        gsd_range = "{:g} to {:g} m per pixel".format(*card.gsd_range_m)
    if card.object_size_m is not None:
        object_size = "{0:g} to {2:g} m, mostly about {1:g} m".format(*card.object_size_m)
    facts = [
        ("Classes", ", ".join(card.classes)),
        ("Resolution", f"{card.gsd_m:g} m per pixel" if card.gsd_m else "any"),
        ("Resolution range", gsd_range),
        ("Object size", object_size),
        ("Bands", ", ".join(card.bands or ())),
        ("Tile size", f"{card.tile_px} px"),
        ("Score threshold", f"{card.conf:g}"),
        ("Calibration", calibration),
        ("NMS threshold", f"IoU {card.iou:g}"),
        ("Training objects", f"{training.objects:,}" if training.objects else ""),
        ("Initial weights", training.initial_weights),
        ("Licence", training.licence),
    ]
    if network is not None:
        anchors = "; ".join(
            f"{stride} px: {', '.join(f'{size:g}' for size in sizes)}"
            for stride, sizes in zip(network.strides, network.anchor_sizes_px, strict=True)
        )
        facts += [
            ("Backbone", f"{network.backbone}, {network.trunk_stages} stages"),
            ("Feature pyramid", f"{network.fpn_channels} channels"),
            ("Convolutions per head", f"{network.head_convs}"),
            ("Anchor sizes", f"{anchors} (px, by stride)"),
            ("Anchor ratios", ", ".join(f"{ratio:g}" for ratio in network.anchor_ratios)),
        ]
    return {
        "facts": [(name, value) for name, value in facts if value],
        "data": training.data,
        "settings": [(k, "" if v is None else str(v)) for k, v in training.settings.items()],
    }


def label_tables(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results of a label check, from its JSON.

    Returns:
        ``summary``, a sentence; ``findings``, style and text of each; ``sizes`` of the objects and
        ``recall`` of the anchors, rows of tables.
    """
    rasters = report.get("rasters", 0)
    summary = (
        f"{report.get('labels_on_imagery', 0):,} of {report.get('labels', 0):,} labels lie on the "
        f"imagery of {rasters:,} {'raster' if rasters == 1 else 'rasters'}, "
        f"{report.get('area_km2', 0.0):,.3g} km²."
    )
    findings = []
    for finding in report.get("findings", ()):
        severity = finding.get("severity", "note")
        text = f"{finding.get('topic', '')}: {finding.get('text', '')}"
        style = severity if severity in ("error", "warning") else "muted"
        findings.append((style, text[:1].upper() + text[1:]))
    percentiles = ("width_m", "length_m", "width_px", "length_px")
    sizes = [
        (
            row["class"],
            f"{row['labels']:,}",
            *(" / ".join(f"{value:g}" for value in row[key]) for key in percentiles),
        )
        for row in report.get("sizes", ())
    ]
    recall = []
    for row in report.get("anchor_recall", ()):
        low, high = row["low_px"], row["high_px"]
        size_range = f"{low:g} to {high:g} px" if high is not None else f"from {low:g} px"
        if high is None and not low:
            size_range = "all"
        if row["labels"]:
            recall.append((size_range, f"{row['labels']:,}", format_fraction(row["recall"])))
    return {"summary": summary, "findings": findings, "sizes": sizes, "recall": recall}


def split_rows(split: gpd.GeoDataFrame) -> Rows:
    """Return area and objects of each raster by role, as rows of a table."""
    sums = split.groupby("role")[["area_m2", "objects"]].sum()
    keyed_rows = [("All", role, row) for role, row in sums.iterrows()]
    sums = split.groupby(["raster", "role"], sort=False)[["area_m2", "objects"]].sum()
    by_raster = [(*key, row) for key, row in sums.iterrows()]
    if split["raster"].nunique() == 1:
        by_raster = []
    keyed_rows += by_raster[:MAX_RASTERS]
    rows: Rows = [
        (raster, role, f"{row['area_m2'] / 1e6:.3f}", f"{row['objects']:,.0f}")
        for raster, role, row in keyed_rows
    ]
    if len(by_raster) > MAX_RASTERS:
        rows.append((f"and {len(by_raster) - MAX_RASTERS:,} more", "", "", ""))
    return rows


def format_fraction(value: float) -> str:
    """Return three decimals, or a dash for NaN."""
    return f"{value:.3f}" if math.isfinite(value) else "-"
