"""Cards of models whose weights are changed outside a training."""

from __future__ import annotations

from typing import Any

from geodetect.model.card import ModelCard


def card_of_changed_weights(card: ModelCard, **changes: Any) -> ModelCard:
    """Return a card with changed fields, without what was measured with the weights before."""
    measured: dict[str, Any] = {
        "int8": None,
        "calibration": None,
        "area_error": None,
        "metrics": {},
    }
    return card.model_copy(update=measured | changes)
