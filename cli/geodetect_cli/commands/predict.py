"""``geodetect predict``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from geodetect.settings import PredictSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import Crs, FolderPath, Name
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.json_output.printing import json_stream
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import prediction as tables

# names of ``geodetect.io.vector.write.FORMATS``, which the help does not import
FORMATS = ("geojson", "geojsonseq", "gpkg", "flatgeobuf", "geoparquet", "shapefile", "csv")
EXAMPLES = """\b
Examples:
  geodetect predict scene.tif
  geodetect predict sheets/*.tif -o city.gpkg --aoi town.gpkg --style
  geodetect predict scene.tif -o - --conf 0.7 > pools.geojson
  geodetect predict scene.tif -o pools.geojson --coverage ground.geojson
  geodetect predict scene.tif --dry-run
  geodetect predict --plan run/ --shard 17/400
  geodetect predict --plan s3://bucket/run --engine ray --ray-address 10.0.0.1:6379"""

COVERAGE = (
    "File, of any vector format, for the ground that was searched or skipped, and why. Default: "
    "layer coverage of the output, if that is a .gpkg."
)


class PredictFiles(Settings):
    """Input and output of ``predict``."""

    rasters: options.RasterArguments = Field(
        (), description=f"{options.RASTERS} Required, unless `plan` is set."
    )
    output: Annotated[options.OutputLayer, Field(min_length=1)] | None = Field(
        None,
        description="File to write: .geojson .geojsonl .gpkg .fgb .parquet .shp .csv, or - for "
        "GeoJSON on the output stream. Default: GeoJSON named as the raster, in the current "
        "folder.",
    )
    model: options.Model = Field(
        "pools", description="Built-in model or model file. See `geodetect models`."
    )
    coverage: Annotated[Path, CommandLine("FILE")] | None = Field(
        None,
        description=COVERAGE,
    )
    crs: Crs | None = Field(None, description="CRS of the output. Default: the raster's.")
    format: Annotated[Name, CommandLine("NAME", choices=FORMATS)] | None = Field(
        None, description=f"Format of the output, whatever its suffix: {', '.join(FORMATS)}."
    )
    style: bool = Field(False, description="Have QGIS colour objects by score (.gpkg, .geojson).")
    dry_run: bool = Field(
        False, description="Only show tiles, resolution, time and memory of the run."
    )


class JournalOptions(Settings):
    """The journal, from which a run that was interrupted continues."""

    section: ClassVar[str] = "Journal"

    work_dir: FolderPath | None = Field(
        None,
        description="Folder of the journal from which a run that was interrupted continues. "
        "Default: beside the output, for runs of 100 tiles and more.",
    )
    restart: bool = Field(False, description="Discard the earlier run's journal and start over.")
    no_journal: bool = Field(
        False, description="Keep no journal: a run that is interrupted starts over."
    )


class ShardOptions(Settings):
    """Shards of a planned run, in place of rasters and an output."""

    section: ClassVar[str] = "Shards of a planned run"

    plan: options.RunFolder | None = Field(
        None,
        description="Folder of a run that `geodetect plan` made: its absent shards are computed, "
        "and `geodetect merge` writes the layer. Model and settings are those of the plan.",
    )
    shard: Annotated[str, CommandLine("I/N")] | None = Field(
        None,
        description="Part I of N: the shards whose number is I modulo N, so that I counts from 0 "
        "or from 1; I alone is a shard, counted from 0. Default: the index and the number of tasks "
        "that SLURM, AWS Batch, Kubernetes or Cloud Run state in the environment, else all shards.",
    )
    allow_mixed: options.AllowMixed = False


class ClusterOptions(Settings):
    """Cluster that computes the shards."""

    section: ClassVar[str] = "Shards of a planned run"

    engine: Literal["local", "ray"] = Field(
        "local",
        description="local: this machine computes; ray: workers on a cluster of Ray, which all "
        "reach the run and the rasters under these paths or URLs.",
    )
    ray_address: Annotated[str, CommandLine("HOST:PORT")] | None = Field(
        None,
        description="Head node of the cluster, e.g. 10.0.0.1:6379. Default: RAY_ADDRESS in the "
        "environment, else the cluster of this machine, else one of this machine is started.",
    )


@settings_command
def command(
    files: PredictFiles,
    settings: PredictSettings,
    journaling: JournalOptions,
    shards: ShardOptions,
    cluster: ClusterOptions,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Detect objects in rasters and write them as a map layer."""
    if cluster.ray_address is not None and cluster.engine != "ray":
        raise UsageError("--ray-address names a cluster of Ray; add --engine ray")
    if shards.plan is not None:
        _predict_shards(shards.plan, shards, cluster, files, settings, journaling, result, messages)
        return
    if shards.shard is not None:
        raise UsageError("--shard is a part of a planned run; name the folder of it with --plan")
    if shards.allow_mixed:
        raise UsageError("--allow-mixed is for the shards of a planned run; name it with --plan")
    if not files.rasters:
        raise UsageError(f"RASTER is missing: {options.RASTERS}")
    is_geojson = (files.format or "geojson").lower().lstrip(".") in ("geojson", "json")
    if files.output == "-" and (result.as_json or not is_geojson or files.crs or files.style):
        raise UsageError(
            "--output - writes plain GeoJSON; it goes without --json, --format, --crs and --style"
        )
    from geodetect.detection.estimate import estimate
    from geodetect.detection.predict_to_file import PredictionFiles

    output = files.output or ""
    if not output and not files.dry_run:
        output = _default_output(files)
    to_stream = output == "-"
    destination = json_stream() if to_stream else Path(output) if output else None
    targets = PredictionFiles(
        output=destination,
        coverage=files.coverage,
        format=None if to_stream else files.format,
        crs=files.crs,
        style=files.style,
        overwrite=result.overwrite,
        journal=not journaling.no_journal,
        restart=journaling.restart,
        work_dir=journaling.work_dir,
    )
    targets.check()
    if destination is None or files.dry_run:
        plan = estimate(files.rasters, files.model, settings=settings)
        ending.suggest(next_commands.after_dry_run(files.output, files.rasters))
        tables.show_estimate(plan, as_json=result.as_json)
        return
    if files.output is None:
        console.print_at_begin(f"Detections are written to {output}")
    if cluster.engine == "ray":
        from geodetect.detection.sharding.ray_cluster.run import predict_on_cluster

        layer = predict_on_cluster(
            targets,
            files.rasters,
            files.model,
            settings=settings,
            ray_address=cluster.ray_address,
        )
    else:
        layer = targets.predict(files.rasters, files.model, settings=settings)
    ending.suggest(next_commands.after_predict(output, files.rasters, settings))
    tables.show_summary(
        layer,
        output,
        coverage=targets.coverage_file,
        settings=files.stated_values() | {"output": output} | settings.stated_values(),
        as_json=result.as_json,
        quiet=messages.quiet,
        verbose=messages.verbose,
    )


def _predict_shards(
    run: str,
    shards: ShardOptions,
    cluster: ClusterOptions,
    files: PredictFiles,
    settings: PredictSettings,
    journaling: JournalOptions,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Compute shards of a planned run.

    Raises:
        UsageError: An option that is stated is one of a run without a plan.
    """
    stated = (files.model_fields_set - {"model"}) | journaling.model_fields_set
    if result.overwrite:
        stated |= {"overwrite"}
    if stated:
        names = [console.name_options(f"`{name}`") for name in sorted(stated)]
        raise UsageError(
            f"{names[0]} goes without --plan: rasters and settings are those of the plan, and "
            f"`geodetect merge` writes the output"
        )
    from geodetect.detection.sharding.parts import part_of_environment
    from geodetect.detection.sharding.predict_shards import predict_shards

    part = part_of_environment(os.environ) if shards.shard is None else shards.shard
    if shards.shard is None and part is not None:
        console.print_at_begin(f"Part {part}")
    summary = predict_shards(
        run,
        files.model if "model" in files.model_fields_set else None,
        shard=part,
        settings={name: getattr(settings, name) for name in settings.model_fields_set},
        allow_mixed=shards.allow_mixed,
        engine=cluster.engine,
        ray_address=cluster.ray_address,
    )
    ending.suggest(next_commands.after_shards(run, is_complete=not summary.absent))
    if result.as_json:
        from geodetect_cli.json_output.shards import ShardsOutput

        console.print_json(ShardsOutput.from_values(**summary.as_dict()))
    elif not messages.quiet:
        console.show_table("", list(summary.display_rows()))


def _default_output(files: PredictFiles) -> str:
    """Return the name of the output of a run on one raster or folder."""
    from geodetect.io.vector import write as vector

    if len(files.rasters) > 1:
        raise UsageError(
            f"--output is missing: one raster or folder gives the output its name, found "
            f"{len(files.rasters)} of them"
        )
    kind = vector.FORMATS[0]
    if files.format is not None:
        kind = vector.format_of(Path("layer.shp"), files.format)
    return f"{options.stem_of(files.rasters[0])}{kind.suffixes[0]}"
