"""Where ``compare`` and ``summarize`` write their layers, if anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from geodetect_cli.console import json_stream

if TYPE_CHECKING:
    from geodetect.io.vector.chunks import Table
    from geodetect.io.vector.geopackage import Layer


@dataclass(frozen=True)
class LayerOutput:
    """A file of one layer or several.

    Args:
        name: The file; ``-``: the first layer as GeoJSON on the output stream; empty: none.
        crs: CRS of the file; None: that of each layer.
        overwrite: Replace what exists.
    """

    name: str
    crs: str | None
    overwrite: bool

    @property
    def to_stream(self) -> bool:
        """Whether the output stream holds the layer."""
        return self.name == "-"

    def check(self, *, layers: int = 1, as_json: bool = False) -> None:
        """Raise now what ``write`` would raise after all the work.

        Args:
            layers: How many there will be.
            as_json: Whether the output stream is to hold a summary.
        """
        from geodetect.io.vector import geopackage
        from geodetect.io.vector import write as vector

        if self.to_stream and (as_json or self.crs or layers > 1):
            raise typer.BadParameter(
                "-o - writes one layer as plain GeoJSON; it goes without --json, --crs and "
                "--parcels",
                param_hint="--output",
            )
        if self.name and not self.to_stream:
            vector.check_target(self.name, crs=self.crs, overwrite=self.overwrite)
            geopackage.check_layers(Path(self.name), layers)

    def write(self, layers: Sequence[Layer]) -> None:
        """Write the layers."""
        from geodetect.io.vector import geopackage

        if self.to_stream:
            write_stream(layers[0].table)
        elif self.name:
            geopackage.write_layers(layers, self.name, crs=self.crs, overwrite=self.overwrite)

    def in_words(self) -> str:
        """Where the layers went, for people."""
        if self.to_stream:
            return "output stream"
        return self.name or "nowhere; name a file with -o to have the layer"


def write_stream(table: Table) -> None:
    """Write a table as GeoJSON to the output stream."""
    from geodetect.io.vector import write as vector

    stream = json_stream()
    vector.to_geojson(table, stream)
    stream.flush()  # nobody is told of a result that nobody reads
