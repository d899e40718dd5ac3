"""``geodetect summarize``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from geodetect.settings import SummarizeSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import Count, Crs, File, FilePath, Fraction
from geodetect_cli import options
from geodetect_cli.layer_output import LayerOutput
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import zones as tables
from geodetect_cli.usage_error import UsageError

if TYPE_CHECKING:
    from geodetect.assessment.summarize.count_correction import ErrorRates

EXAMPLES = """\b
Examples:
  geodetect summarize pools.gpkg --zones communes.gpkg -o zones.gpkg
  geodetect summarize pools.gpkg --zones communes.gpkg --model my.safetensors -o out.gpkg
  geodetect summarize pools.gpkg --zones blocks.shp --metrics metrics.json -o out.gpkg
  geodetect summarize pools.fgb --zones blocks.shp --coverage ground.gpkg -o out.csv
  geodetect summarize pools.gpkg --zones communes.gpkg --json"""


class SummarizeFiles(Settings):
    """Layers that ``summarize`` reads and writes."""

    predictions: options.Predictions = Field(description=options.PREDICTIONS)
    zones: File = Field(description="Polygons to count by, any vector format and CRS.")
    output: options.OutputLayer = Field(
        "",
        description="File to write: .gpkg .geojson .geojsonl .fgb .parquet .shp .csv, or - for "
        "GeoJSON on the output stream. Default: none; zones are only listed.",
    )
    coverage: File | None = Field(
        None,
        description=f"{options.COVERAGE} Default: layer coverage of PRED, if it has one.",
    )
    crs: Crs | None = Field(None, description="CRS of the output. Default: that of the zones.")


class CorrectionOptions(Settings):
    """Error rates of the detector, from one of three sources."""

    section: ClassVar[str] = "Correction of counts"

    model: options.Model | None = Field(
        None, description="Model with the precision and recall on its card."
    )
    metrics: FilePath | None = Field(
        None, description="Output of `geodetect evaluate --json` with the precision and recall."
    )
    precision: Annotated[Fraction, CommandLine("P")] | None = Field(
        None, description="Precision, with `recall` and `support`."
    )
    recall: Annotated[Fraction, CommandLine("R")] | None = Field(None, description="Recall.")
    support: Count | None = Field(
        None, description="Number of ground truth objects that these two were measured on."
    )

    def read_rates(self, classes: tuple[str, ...] | None) -> ErrorRates | None:
        """Return the error rates; None without a source.

        Args:
            classes: Names of the classes to count; of a single one, ``metrics`` of that class
                count.
        """
        rates = (self.precision, self.recall, self.support)
        has_rates = rates != (None, None, None)
        if (self.model is not None) + (self.metrics is not None) + has_rates > 1:
            raise UsageError("name one of --model, --metrics, or --precision and --recall")
        from geodetect.assessment.summarize.count_correction import ErrorRates
        from geodetect.assessment.summarize.error_rates import (
            error_rates_from_evaluation,
            error_rates_from_model,
        )

        if self.model is not None:
            return error_rates_from_model(self.model)
        if self.metrics is not None:
            class_name = classes[0] if classes is not None and len(classes) == 1 else None
            return error_rates_from_evaluation(self.metrics, class_name=class_name)
        if not has_rates:
            return None
        if self.precision is None or self.recall is None or self.support is None:
            raise UsageError(
                "--precision, --recall and --support go together: the fraction of predictions that "
                "is correct, the fraction of objects that is detected, and the number of objects"
            )
        return ErrorRates.from_rates(
            self.precision, self.recall, self.support, source="--precision and --recall"
        )


@settings_command
def command(
    files: SummarizeFiles,
    correction: CorrectionOptions,
    settings: SummarizeSettings,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Count predictions by zone, corrected for known errors."""
    from geodetect.assessment.summarize.zones import LAYER, summarize

    target = LayerOutput(files.output, files.crs, result.overwrite)
    target.check(LAYER, as_json=result.as_json)
    rates = correction.read_rates(settings.classes)
    summary = summarize(
        files.predictions, files.zones, coverage=files.coverage, rates=rates, settings=settings
    )
    target.write(summary)
    tables.show_zones(summary, target, as_json=result.as_json, quiet=messages.quiet)
