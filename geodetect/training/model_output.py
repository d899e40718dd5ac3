"""Model file that a training writes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from geodetect.errors import GeodetectError, GeodetectWarning, ModelFileError, list_names
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights, load_card, write_model_file
from geodetect.model.runtimes.conversion import add_networks
from geodetect.progress import phase
from geodetect.redaction import redact
from geodetect.settings import TrainSettings
from geodetect.training.loop import TrainingLoop
from geodetect.training.validation.metrics import ValidationResult
from geodetect.training.validation.start import Gain

UNRECORDED_SETTINGS = {"data_source", "licence", "description", "name"}
PATH_SETTINGS = ("val_aoi", "val_rasters", "val_labels", "init")


@dataclass(frozen=True, eq=False)
class WrittenModel:
    """Model that a training has written.

    Args:
        card: The complete card.
        state: ``best``, ``last`` or ``start``: where the weights come from.
        result: Validation of these weights; None: nothing is held out.
        gain: Trained weights compared with the start; None: not compared.
    """

    card: ModelCard
    state: Literal["best", "last", "start"]
    result: ValidationResult | None
    gain: Gain | None


def write_model(path: Path, card: ModelCard, loop: TrainingLoop) -> WrittenModel:
    """Write the model of a training, and the validation of its weights into the run folder.

    The weights are those of the best validation, or the last ones if the setting ``keep`` asks for
    them or if nothing is held out. If the best ones are worse than the start, beyond chance, and
    the start has the same classes, they are those of the start.

    Args:
        path: Model file to write.
        card: Card without the results of the training: steps, settings, metrics, calibration.
        loop: The training.

    Raises:
        OutputError: The model or the validation cannot be written.

    Warns:
        GeodetectWarning: The trained weights are worse than the start, beyond chance; or the
            network cannot be converted for OpenVINO.
    """
    selection, validator, folder = loop.selection, loop.validator, loop.folder
    step, weights, result, gain = selection.best_step, selection.best_weights, None, None
    if weights is None:
        step, weights = loop.step, loop.learner.weights()
    else:
        if loop.settings.keep == "last" and selection.last_step == loop.step:
            step, weights = loop.step, loop.learner.weights()
        assert validator is not None
        result = _validation_of(loop, step, weights)
        if loop.start is not None and result is not None:
            gain = loop.start.compare(result)
            is_same = loop.start.classes == card.classes
            if gain.is_loss:
                _warn_of_loss(gain, loop)
            if gain.is_loss and is_same and loop.settings.keep == "best":
                step, weights = 0, loop.start.weights
                result = _validation_of(loop, step, weights)
    settings = _recorded_settings(loop.settings)
    settings["lr"] = loop.learner.lr  # the actual one, if the setting was "auto"
    record = card.training.model_copy(update={"steps": step, "settings": settings})
    card = card.model_copy(update={"training": record})
    if result is not None and validator is not None and folder is not None:
        with phase("Validating on coarser imagery"):
            gsd_range_m = validator.gsd_range_m(weights, result)
        card = result.add_to_card(card).model_copy(update={"gsd_range_m": gsd_range_m})
        if card.network is not None and card.network.outline is not None:
            with phase("Validating the outlines"):
                card = validator.validate_outlines(weights, result).add_to_card(card)
        result.write(folder.path)
    try:
        arrays: Weights = add_networks(card, weights)
    except GeodetectError as error:  # the hours of the training are not lost
        arrays = weights
        warnings.warn(
            f"{path}: holds no network in OpenVINO's form ({error}); it is converted when it is "
            f"used, which needs PyTorch",
            GeodetectWarning,
            stacklevel=2,
        )
    write_model_file(path, card, arrays)
    trained: Literal["best", "last"] = "last" if step == loop.step else "best"
    return WrittenModel(card, trained if step else "start", result, gain)


def _validation_of(loop: TrainingLoop, step: int, weights: Weights) -> ValidationResult | None:
    result = loop.results.get(step)
    if result is None and loop.validator is not None:  # validated before the training was resumed
        with phase("Validating the best state"):
            result = loop.validator.validate(weights)
    return result


def _warn_of_loss(gain: Gain, loop: TrainingLoop) -> None:
    """Warn of a training that made the model worse."""
    assert loop.start is not None
    classes, keep = loop.start.classes, loop.settings.keep
    text = f"the trained model is worse than its start, beyond chance: {gain}; "
    if keep == "last":
        text += "it is written all the same, as `keep` is last"
    elif classes != loop.learner.card.classes:
        text += (
            f"it is written all the same, as the start has other classes ({list_names(classes)})"
        )
    else:
        text += (
            "the model file holds the weights of the start; set `keep` to last to get the trained "
            "ones"
        )
    lower_lr = f"{loop.learner.lr / 3:.1g}"
    text += f"; check the labels, then lower `lr` (to {lower_lr}) or train on more of them"
    warnings.warn(text, GeodetectWarning, stacklevel=3)


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
