"""Description of a training: model, data and machine, as they are known before its first step."""

from __future__ import annotations

from geodetect.errors import list_names
from geodetect.hardware.torch_device import pick_device
from geodetect.model.card import ModelCard
from geodetect.settings import TrainSettings
from geodetect.training.data.training_data import TrainingData
from geodetect.training.distributed import Processes

MAX_CLASSES = 4  # in one line


def describe_training(
    card: ModelCard,
    data: TrainingData,
    settings: TrainSettings,
    processes: Processes,
    *,
    held_out: int,
) -> tuple[str, str]:
    """Return two lines: on the model, its start and the machine; on the data and the length.

    Args:
        card: Card of the model as it is before the first step.
        data: Rasters and labels.
        settings: Settings of the training.
        processes: Processes that train together.
        held_out: Number of objects to validate on.
    """
    machine = str(pick_device(processes.device))
    if processes.world_size > 1:
        machine = f"{processes.world_size} processes"
    classes = list_names(card.classes, limit=MAX_CLASSES)
    model = f"Model {card.name} for {classes}, from {card.training.initial_weights}, on {machine}"
    sizes_m = [raster.gsd_m for raster in data.rasters]
    finest, coarsest = (f"{size:.3g}" for size in (min(sizes_m), max(sizes_m)))
    rasters = f"{len(sizes_m):,} rasters" if len(sizes_m) > 1 else "1 raster"
    rasters += f" of {finest} m" if finest == coarsest else f" of {finest} to {coarsest} m"
    length = (
        f"{settings.steps:,} steps" if settings.minutes is None else f"{settings.minutes:g} min"
    )
    return model, (
        f"{rasters}, trained at {card.gsd_m:.3g} m: {card.training.objects:,} objects, "
        f"{held_out:,} others to validate on; {length} of {settings.batch_size} chips of "
        f"{settings.tile_size} px"
    )
