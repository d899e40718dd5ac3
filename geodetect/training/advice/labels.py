"""Advice on the number of labels, on the holdout and on the start."""

from __future__ import annotations

from collections.abc import Iterator

from geodetect.training.advice.facts import Advice, TrainingFacts
from geodetect.training.validation.uncertainty import metric_intervals

FEW_LABELS = 100
GOOD_AP = 0.8
RARE_FRACTION = 0.1  # of the objects of the most frequent class
AP_DIFFERENCE = 0.1
FEW_HELD_OUT = 30
LR_DIVISOR = 3.0


def advise_on_labels(facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice on classes with few labels, and on a holdout of few objects."""
    metrics = facts.card.metrics
    counts = facts.class_objects
    if metrics and counts:
        most = max(counts, key=lambda name: counts[name])
        precisions = {
            name: metrics.get("ap50" if len(counts) == 1 else f"ap50 {name}") for name in counts
        }
        for name, count in counts.items():
            yield from _advise_on_class(name, count, counts[most], precisions, most)
    yield from _advise_on_holdout(facts)


def _advise_on_class(
    name: str, count: int, most: int, precisions: dict[str, float | None], frequent: str
) -> Iterator[Advice]:
    """Return advice on a class with few labels.

    Rule: fewer than 100 objects to train on and an AP50 below 0.8; or a tenth of the objects of the
    most frequent class and an AP50 that is lower by 0.1.
    """
    ap50, frequent_ap50 = precisions[name], precisions[frequent]
    if ap50 is None:
        return
    is_rare = (
        frequent_ap50 is not None
        and count <= RARE_FRACTION * most
        and ap50 < frequent_ap50 - AP_DIFFERENCE
    )
    gain = 0.5 * max((frequent_ap50 or 0.0) - ap50, GOOD_AP - ap50) / len(precisions)
    text = f"{name} has {count:,} labels to learn from and an AP50 of {ap50:.3f}"
    if is_rare:
        text += (
            f", {frequent} {most:,} and {frequent_ap50:.3f}: label more of it, and name rasters "
            f"that show it twice in `rasters`, which draws them twice as often"
        )
        yield Advice("classes", text, gain)
    elif count < FEW_LABELS and ap50 < GOOD_AP:
        yield Advice("classes", f"{text}: label more, at least {FEW_LABELS}", gain)


def _advise_on_holdout(facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice on a holdout of fewer than 30 objects."""
    if facts.result is None:
        return
    objects = facts.result.matches.n_truth
    if not 0 < objects < FEW_HELD_OUT:
        return
    interval = metric_intervals(facts.result).get("ap50")
    spread = ""
    if interval is not None:
        spread = f", 95 % interval {interval.low:.2f} to {interval.high:.2f}"
    share = facts.settings.val_share
    remedy = "hold out more ground, or label more"
    if facts.settings.val_aoi is None and facts.settings.val_rasters is None and share < 0.5:
        remedy = f"set `val_share` to {min(0.5, 2 * share):g}, or label more"
    text = (
        f"the figures rest on {objects} held-out {'object' if objects == 1 else 'objects'} (AP50 "
        f"{facts.card.metrics.get('ap50', 0.0):.3f}{spread}): {remedy}"
    )
    yield Advice("holdout", text, 0.0)


def advise_on_start(facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice if the trained model is not better than its start.

    Rule: its AP50 is not higher. A loss beyond chance weighs as much as it costs.
    """
    gain = facts.gain
    if gain is None or gain.ap50 > 0:
        return
    lower = f"{facts.lr / LR_DIVISOR:.1g}"
    if gain.is_loss:
        text = (
            f"the training made its start worse: {gain}; check the labels, or set `lr` to {lower}"
        )
    else:
        text = (
            f"the training did not improve its start: {gain}; use the start, or train on more "
            f"labels of what it gets wrong"
        )
    yield Advice("start", text, max(-gain.ap50, 0.0))
