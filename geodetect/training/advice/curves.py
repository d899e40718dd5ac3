"""Advice from the curves of a training: its length, overfitting and the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from geodetect.training.advice.facts import Advice, TrainingFacts
from geodetect.types import FloatArray

TAIL_FRACTION, LEAST_TAIL = 1 / 3, 4  # validations at the end that show if AP50 is rising
LEAST_VALIDATIONS = 5
SIGNIFICANCE = 0.025
LEAST_RISE = 0.01  # in AP50, over the tail
LEAST_MORE, MOST_MORE = 0.25, 1.0  # of the steps so far
LAST_VALIDATIONS = 3
LEAST_FALL = 0.02
NORMAL_MAD = 0.6745  # median of the absolute values of a standard normal distribution
QUARTERS = 4
LEAST_LOSS_ROWS = 4  # in each quarter
LOSS_RISE, LOSS_FALL = 1.1, 0.95
STANDARD_ERRORS = 3.0
LR_DIVISOR = 3.0
AUGMENT_STEP = 0.3


def advise_on_curves(facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice on the learning rate; else on the length, or on overfitting."""
    validations = np.array(
        [
            (row["step"], row["val_ap50"])
            for row in facts.rows
            if row["step"] > 0 and math.isfinite(row["val_ap50"])
        ]
    ).reshape(-1, 2)
    losses = np.array(
        [(row["step"], row["loss"]) for row in facts.rows if math.isfinite(row["loss"])]
    ).reshape(-1, 2)
    diverging = list(_advise_on_lr(losses, facts))
    yield from diverging
    if not diverging and len(validations) >= LEAST_VALIDATIONS:
        yield from _advise_on_length(validations, facts)
        yield from _advise_on_overfitting(validations, losses, facts)


def _advise_on_lr(losses: FloatArray, facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice if the loss rose.

    Rule: the mean loss of a quarter of the training is a tenth, and three standard errors, above
    that of an earlier quarter. Mined negatives raise the loss by themselves.
    """
    quarters = np.array_split(losses, QUARTERS)
    if facts.settings.mine_negatives or min(map(len, quarters)) < LEAST_LOSS_ROWS:
        return
    means = [float(quarter[:, 1].mean()) for quarter in quarters]
    errors = [float(quarter[:, 1].std(ddof=1) / math.sqrt(len(quarter))) for quarter in quarters]
    pairs = [
        (later, earlier)
        for later in range(1, QUARTERS)
        for earlier in range(later)
        if means[later] > LOSS_RISE * means[earlier]
        and means[later] - means[earlier]
        > STANDARD_ERRORS * math.hypot(errors[later], errors[earlier])
    ]
    if not pairs:
        return
    later, earlier = max(pairs, key=lambda pair: means[pair[0]] / means[pair[1]])
    steps = f"{quarters[later][0, 0]:,.0f} to {quarters[later][-1, 0]:,.0f}"
    lower = f"{facts.lr / LR_DIVISOR:.1g}"
    text = (
        f"the loss rose from {means[earlier]:.3f} to {means[later]:.3f} in steps {steps}: the "
        f"learning rate of {facts.lr:.2g} is too high; set `lr` to {lower}, or to auto"
    )
    gain = 0.5 * (1 - facts.card.metrics.get("ap50", 0.0))
    yield Advice("learning rate", text, gain)


def _advise_on_length(validations: FloatArray, facts: TrainingFacts) -> Iterator[Advice]:
    """Return advice if AP50 was still rising.

    Rule: a line through the last third of the validations, at least four, rises significantly
    (one-sided t-test of its slope) and by at least 0.01. More steps, as many as would close half of
    the gap to 1 at this slope, but a quarter to all of the steps so far. Half of what the line
    promises is expected, as curves become flatter.
    """
    from scipy.stats import linregress

    tail = validations[-max(LEAST_TAIL, round(len(validations) * TAIL_FRACTION)) :]
    fit = linregress(tail[:, 0], tail[:, 1], alternative="greater")
    first, last = tail[0], tail[-1]
    rise = float(fit.slope * (last[0] - first[0]))
    if not (fit.pvalue < SIGNIFICANCE and rise >= LEAST_RISE):
        return
    steps = float(last[0])
    missing = 1 - float(fit.intercept + fit.slope * steps)
    more = min(max(0.5 * missing / fit.slope, LEAST_MORE * steps), MOST_MORE * steps)
    more = max(1, int(float(f"{more:.1g}")))
    minutes = facts.settings.minutes
    remedy = f"`steps` to {steps + more:.0f}"
    if minutes is not None:
        remedy = f"`minutes` to {minutes * (steps + more) / steps:.2g}"
    text = (
        f"AP50 was still rising ({first[1]:.3f} at step {first[0]:,.0f}, {last[1]:.3f} at step "
        f"{last[0]:,.0f}): about {more:,} more {'step' if more == 1 else 'steps'}; set {remedy}"
    )
    yield Advice("length", text, 0.5 * min(float(fit.slope * more), missing))


def _advise_on_overfitting(
    validations: FloatArray, losses: FloatArray, facts: TrainingFacts
) -> Iterator[Advice]:
    """Return advice if AP50 fell while the loss went on falling.

    Rule: the mean of the last three validations is below the best by 0.02 and by twice the noise,
    estimated from the differences of successive validations (von Neumann 1941; by their median, so
    that the rise of the beginning does not count), and the loss has fallen by a twentieth since.
    """
    best = int(np.argmax(validations[:, 1]))
    if len(validations) - 1 - best < LAST_VALIDATIONS:
        return
    noise = float(np.median(np.abs(np.diff(validations[:, 1])))) / (NORMAL_MAD * math.sqrt(2))
    step, best_ap50 = validations[best]
    last_ap50 = float(validations[-LAST_VALIDATIONS:, 1].mean())
    if best_ap50 - last_ap50 < max(LEAST_FALL, 2 * noise):
        return
    since = losses[losses[:, 0] > step]
    before = losses[losses[:, 0] <= step]
    count = min(len(since) // 2, len(before))
    if not count:
        return
    loss, last_loss = float(before[-count:, 1].mean()), float(since[-count:, 1].mean())
    if last_loss > LOSS_FALL * loss:
        return
    augment = facts.settings.augment
    remedy = "more labels help"
    if augment < 1:
        remedy += f", and `augment` of {min(1.0, augment + AUGMENT_STEP):.1f}"
    text = (
        f"AP50 fell from {best_ap50:.3f} at step {step:,.0f} to {last_ap50:.3f} at the end while "
        f"the loss went on falling ({loss:.3f} to {last_loss:.3f}): overfitting; {remedy}"
    )
    yield Advice("overfitting", text, 0.5 * (best_ap50 - last_ap50))
