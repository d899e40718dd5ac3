"""Options of several commands that are no settings of the library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from geodetect.redaction import redact
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import FilePath, Labels, Rasters

RasterArguments = Annotated[
    Rasters, CommandLine("RASTER", short="r", positional=True, repeatable=True, reads="rasters")
]
RasterList = Annotated[Rasters, CommandLine("PATH", short="r", repeatable=True, reads="rasters")]
TruthArguments = Annotated[
    Labels, CommandLine("TRUTH", short="t", positional=True, repeatable=True, reads="labels")
]
Predictions = Annotated[str, CommandLine("PRED", positional=True, reads="layer")]
OutputFile = Annotated[Path, CommandLine("FILE", short="o")]
OutputLayer = Annotated[str, CommandLine("FILE", short="o")]
RunFolder = Annotated[str, CommandLine("RUN")]
RunArgument = Annotated[str, CommandLine("RUN", positional=True)]
Model = Annotated[str, CommandLine("NAME|FILE", short="m", reads="model")]
AllowMixed = Annotated[
    bool,
    Field(
        description="Take shards of several kinds of processors, precisions or libraries, and name "
        "them: their results differ in the last digits."
    ),
]
AsJson = Annotated[bool, CommandLine(name="json"), Field(description="Print a summary as JSON.")]

PREDICTIONS = "Predictions: vector file of any format and CRS."
RASTERS = "Files, folders or URLs that GDAL opens."
RASTER_FOLDERS = "Rasters, or folders of them. Repeatable."
LABELS = (
    "Labels: vector files of any format and CRS, or COCO, YOLO, Pascal VOC, CVAT, LabelMe, DOTA, "
    "KITTI or CSV, as files or folders. Repeatable."
)
RUN = "Folder of the run, made by `geodetect plan`."
FORMATS = "File to write: .geojson .geojsonl .gpkg .fgb .parquet .shp .csv"
COVERAGE = "Ground that was searched: the coverage layer of `geodetect predict`, or any polygons."


class LabelledRasters(Settings):
    """Rasters and their labels."""

    rasters: RasterList = Field(description=RASTER_FOLDERS)
    labels: Labels = Field(description=LABELS)


class ResultOptions(Settings):
    """Options of what a command writes and prints."""

    section: ClassVar[str] = "General"

    overwrite: bool = Field(False, description="Replace existing files.")
    as_json: AsJson = False


class ConsoleOptions(Settings):
    """Options of messages, and the settings file."""

    section: ClassVar[str] = "General"

    quiet: Annotated[bool, CommandLine(short="q")] = Field(
        False, description="Only warnings and errors."
    )
    verbose: Annotated[bool, CommandLine(short="v")] = Field(
        False, description="More about the run, and the settings of `config` that options replace."
    )
    progress: Literal["auto", "json"] = Field(
        "auto",
        description="Form of messages: auto: a bar on a terminal, else lines of text; json: every "
        "line of the error stream is a JSON object, for schedulers.",
    )
    progress_every: Annotated[float, Field(gt=0), CommandLine("SECONDS")] = Field(
        60.0,
        description="Time between lines of progress where messages go to a file or another "
        "program, or are JSON.",
    )
    log_file: Annotated[Path, CommandLine("FILE")] | None = Field(
        None,
        description="File that all messages are appended to, those that `quiet` hides, too; each "
        "line with its time.",
    )
    config: FilePath | None = Field(
        None,
        description="TOML file with settings, under the names of their options (tile_size = 512), "
        "at the top level or in a table of the command's name. Options on the command line win.",
    )


def stem_of(source: str) -> str:
    """Return the name of a file, folder or URL without its suffix, usable as a file name."""
    path = Path(source)
    if path.is_dir():
        return path.resolve().name
    return re.sub(r'[<>:"|?*]', "_", Path(redact(source)).stem)  # of URLs and subdatasets of GDAL
