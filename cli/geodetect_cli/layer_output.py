"""Output of the layers of ``compare`` and ``summarize``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.json_output.printing import json_stream

if TYPE_CHECKING:
    from geodetect.assessment.compare.comparison import Comparison
    from geodetect.assessment.summarize.zones import ZoneSummary
    from geodetect.io.vector.chunks import Table


@dataclass(frozen=True)
class LayerOutput:
    """File or output stream for one layer or several.

    Args:
        name: The file; ``-``: the first layer as GeoJSON on the output stream; empty: none.
        crs: CRS of the file; None: that of each layer.
        overwrite: Replace an existing file.
    """

    name: str
    crs: str | None
    overwrite: bool

    @property
    def to_stream(self) -> bool:
        """True if the layer goes to the output stream."""
        return self.name == "-"

    def check(self, *layers: str, as_json: bool = False) -> None:
        """Raise the errors of ``write`` before all the work.

        Args:
            layers: Names of the layers.
            as_json: The output stream is needed for a summary.
        """
        from geodetect.io.vector import geopackage
        from geodetect.io.vector import write as vector

        if self.to_stream and (as_json or self.crs or len(layers) > 1):
            raise UsageError(
                "--output - writes one layer as plain GeoJSON; it goes without --json, --crs and "
                "--parcels"
            )
        if self.name and not self.to_stream:
            geopackage.check_layers(Path(self.name), len(layers))
            vector.check_target(
                self.name,
                crs=self.crs,
                overwrite=self.overwrite,
                layers=layers,
                takes_format=False,
            )

    def write(self, result: Comparison | ZoneSummary) -> None:
        """Write the layers of a result."""
        if self.to_stream:
            write_stream(result.layers()[0].table)
        elif self.name:
            result.write(self.name, crs=self.crs, overwrite=self.overwrite)

    def __str__(self) -> str:
        """Destination of the layers, for tables."""
        if self.to_stream:
            return "output stream"
        return self.name or "nowhere; name a file with -o to have the layer"


def write_stream(table: Table) -> None:
    """Write a table as GeoJSON to the output stream."""
    from geodetect.io.vector import write as vector

    stream = json_stream()
    vector.to_geojson(table, stream)
    stream.flush()  # so that a broken pipe is an error before the summary is printed
