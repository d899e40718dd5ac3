"""Commands that write files, for parts whose input is sound and whose surroundings are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.campaign.scenes import Scene

PREDICT = "predict {raster} -m {model} --device cpu --json --work-dir {folder} -o {folder}/"

REPORT = "report {truth} -r {raster} --imagery beside -o {folder}/"
COVERED = PREDICT.replace("-o", "--coverage {folder}/ground.geojson -o")


@dataclass(frozen=True)
class Writer:
    """A command that writes files.

    Args:
        template: Its arguments, with the names of the files of a scene and ``folder`` in braces.
        output: Name of the first file of the output.
        beside: Names of the other files.
    """

    template: str
    output: str
    beside: tuple[str, ...] = ()

    def arguments(self, scene: Scene, folder: Path) -> list[str]:
        """Return the arguments for an output in a folder."""
        return fill(f"{self.template}{{output}}", scene, folder=folder, output=self.output)

    def files(self, folder: Path) -> list[Path]:
        """Return all files of the output in a folder."""
        return [folder / name for name in (self.output, *self.beside)]


def fill(template: str, scene: Scene, **names: object) -> list[str]:
    """Return arguments from a template: names in braces are replaced, also by text with spaces."""
    return [word.format_map(vars(scene) | names) for word in template.split()]


SHAPEFILE = tuple(f"squares{suffix}" for suffix in (".shx", ".dbf", ".prj", ".cpg"))
PREDICTIONS = (
    Writer(PREDICT, "squares.geojson"),
    Writer(PREDICT, "squares.geojsonl"),
    Writer(PREDICT, "squares.gpkg"),
    Writer(PREDICT, "squares.fgb"),
    Writer(PREDICT, "squares.parquet"),
    Writer(PREDICT, "squares.csv"),
    Writer(PREDICT, "squares.shp", SHAPEFILE),
    Writer(COVERED, "squares.geojson", ("ground.geojson",)),
)
OTHERS = (
    Writer("tile {raster} --labels {truth} --tile-size 96 -o {folder}/", "chips"),
    Writer("preview {raster} {truth} --image-size 200 -o {folder}/", "image.png"),
    Writer(
        "report {truth} -r {raster} --imagery beside -o {folder}/", "page.html", ("page_files",)
    ),
    Writer("compare {truth} --register {truth} -o {folder}/", "changes.gpkg"),
    Writer("summarize {truth} --zones {zones} -o {folder}/", "zones.csv"),
    Writer("evaluate {truth} {truth} --resamples 0 -o {folder}/", "errors.gpkg"),
)
WRITERS = (*PREDICTIONS, *OTHERS)
