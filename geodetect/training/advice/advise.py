"""Advice at the end of a training, the greatest expected gain first."""

from __future__ import annotations

from geodetect.training.advice.curves import advise_on_curves
from geodetect.training.advice.facts import Advice, TrainingFacts
from geodetect.training.advice.labels import advise_on_labels, advise_on_start
from geodetect.training.advice.misses import advise_on_errors

MOST = 5


def advise(facts: TrainingFacts) -> tuple[Advice, ...]:
    """Return the next things to do, at most ``MOST``; nothing if nothing is to be said.

    Each rule is stated where it is applied, and needs more than chance: a curve is rising or
    falling beyond its noise, errors crowd together beyond what an even spread allows.
    """
    advice = [
        *advise_on_start(facts),
        *advise_on_curves(facts),
        *advise_on_errors(facts),
        *advise_on_labels(facts),
    ]
    return tuple(sorted(advice, key=lambda item: -item.gain)[:MOST])
