"""Model file that a training writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geodetect.errors import ModelFileError
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card, write_model_file
from geodetect.progress import phase
from geodetect.redaction import redact
from geodetect.settings import TrainSettings
from geodetect.training.loop import TrainingLoop

UNRECORDED_SETTINGS = {"data_source", "licence", "description", "name"}
PATH_SETTINGS = ("val_aoi", "val_rasters", "val_labels", "init")


def write_model(path: Path, card: ModelCard, loop: TrainingLoop) -> ModelCard:
    """Write the model of a training, and the validation of its weights into the run folder.

    The weights are those of the best validation, or the last ones if the setting ``keep`` asks for
    them or if nothing is held out.

    Args:
        path: Model file to write.
        card: Card without the results of the training: steps, settings, metrics, calibration.
        loop: The training.

    Returns:
        The complete card.

    Raises:
        OutputError: The model or the validation cannot be written.
    """
    selection, validator, folder = loop.selection, loop.validator, loop.folder
    step, weights, result = selection.best_step, selection.best_weights, None
    if weights is None:
        step, weights = loop.step, loop.learner.weights()
    else:
        if loop.settings.keep == "last" and selection.last_step == loop.step:
            step, weights = loop.step, loop.learner.weights()
        assert validator is not None
        result = loop.results.get(step)
        if result is None:  # validated before the training was resumed
            with phase("Validating the best state"):
                result = validator.validate(weights)
    settings = _recorded_settings(loop.settings)
    settings["lr"] = loop.learner.lr  # the actual one, if the setting was "auto"
    record = card.training.model_copy(update={"steps": step, "settings": settings})
    card = card.model_copy(update={"training": record})
    if result is not None and validator is not None and folder is not None:
        with phase("Validating on coarser imagery"):
            gsd_range_m = validator.gsd_range_m(weights, result)
        card = result.add_to_card(card).model_copy(update={"gsd_range_m": gsd_range_m})
        result.write(folder.path)
    write_model_file(path, card, weights)
    return card


def is_model_of(path: Path, settings: TrainSettings) -> bool:
    """Return True for the model of a training with these settings; False for anything else."""
    try:
        recorded = load_card(path).training.settings
    except ModelFileError:
        return False
    expected = _recorded_settings(settings)
    return recorded.keys() == expected.keys() and all(
        recorded[name] == value for name, value in expected.items() if name != "lr"
    )


def _recorded_settings(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings as a model card holds them: without paths, and lists as texts."""
    values = settings.model_dump(mode="json", exclude=UNRECORDED_SETTINGS)
    for name, value in values.items():
        if name in PATH_SETTINGS and value:  # file names, not paths
            paths = value if isinstance(value, list) else [value]
            value = [Path(redact(str(path))).name for path in paths]
        values[name] = ",".join(map(str, value)) if isinstance(value, list) else value
    return values
