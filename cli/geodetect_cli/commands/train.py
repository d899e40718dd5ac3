"""``geodetect train``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from geodetect.hardware.torch_library import require_torch
from geodetect.progress import phase
from geodetect.settings import TrainSettings
from geodetect.settings.base import Settings
from geodetect.settings.value_types import FolderPath
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, LabelledRasters, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import training as tables

EXAMPLES = """\b
Examples:
  geodetect train --rasters tiles/ --labels pools.geojson
  geodetect train --rasters a.tif --rasters b.tif --labels trees.gpkg -o t.safetensors
  geodetect train --rasters tiles/ --labels pools.geojson -o p.safetensors --minutes 45
  geodetect train --rasters a/ --labels a.shp --val-rasters b/ -o p.safetensors
  geodetect train --rasters images/ --labels data.yaml --gsd 10cm -o p.safetensors
  geodetect train --rasters tiles/ --labels pools.geojson --resume
  geodetect train --config pools_run/settings.toml -o again.safetensors"""


class TrainOutput(Settings):
    """Output of ``train``."""

    output: options.OutputFile | None = Field(
        None,
        description="Model file, .safetensors. Default: named as the first labels, in the current "
        "folder.",
    )
    run_dir: FolderPath | None = Field(
        None,
        description="Folder for metrics, holdout, validation, settings and checkpoint. Default: "
        "NAME_run beside the output.",
    )
    resume: bool = Field(
        False,
        description="Continue from the checkpoint in the run folder, or start over if there is "
        "none yet. A checkpoint is written every minute and when Ctrl-C or SIGTERM ends the "
        "training.",
    )
    tensorboard: bool = Field(
        False,
        description="Write the metrics for TensorBoard too, into the run folder. Needs the extra: "
        "pip install 'geodetect[tensorboard]'.",
    )


@settings_command
def command(
    data: LabelledRasters,
    files: TrainOutput,
    settings: TrainSettings,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Train a model on labelled rasters.

    In N processes, each on a GPU of its own, or all on the processor:
    torchrun --nproc-per-node N -m geodetect train --rasters ...
    With --max-restarts 3 before -m, torchrun starts all of them again when one has died, and the
    training continues from its checkpoint.
    """
    require_torch("training")
    with phase("Starting"):  # importing PyTorch takes seconds
        from geodetect.reporting.training_report.page import write_training_page
        from geodetect.training.distributed import is_main_process
        from geodetect.training.run.folder import RunFolder
        from geodetect.training.train import train

    output = files.output
    if output is None:
        output = Path(f"{options.stem_of(data.labels[0])}.safetensors")
        console.print_at_begin(f"The model is written to {output}")
    summary = train(
        data.rasters,
        data.labels,
        output,
        settings=settings,
        run_dir=files.run_dir,
        resume=files.resume,
        overwrite=result.overwrite,
        tensorboard=files.tensorboard,
        keep_checkpoint=True,
    )
    if not is_main_process():
        return
    page = write_training_page(summary.run_dir, model=output, overwrite=True)
    RunFolder(summary.run_dir).checkpoint.unlink(missing_ok=True)
    ending.suggest(
        next_commands.after_train(output, settings.val_rasters or data.rasters, settings)
    )
    tables.show_summary(summary, page, as_json=result.as_json, quiet=messages.quiet)
