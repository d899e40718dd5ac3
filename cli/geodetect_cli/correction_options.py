"""Options that correct counts for the errors of the detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from geodetect.settings.base import FormerNames, Settings
from geodetect.settings.value_types import Count, FilePath, Fraction
from geodetect_cli import options
from geodetect_cli.command_line.usage_error import UsageError

if TYPE_CHECKING:
    from geodetect.assessment.summarize.count_correction import ErrorRates


class CorrectionOptions(Settings):
    """Error rates of the detector, from one of three sources."""

    section: ClassVar[str] = "Correction of counts"

    model: options.Model | None = Field(
        None, description="Model with the precision and recall on its card."
    )
    metrics: FilePath | None = Field(
        None, description="Output of `geodetect evaluate --json` with the precision and recall."
    )
    measured_precision: Annotated[Fraction | None, FormerNames("precision")] = Field(
        None,
        description="Precision of the detector, with `measured_recall` and `measured_on`.",
    )
    measured_recall: Annotated[Fraction | None, FormerNames("recall")] = Field(
        None, description="Recall of the detector."
    )
    measured_on: Annotated[Count | None, FormerNames("support")] = Field(
        None, description="Number of ground truth objects that these two were measured on."
    )

    def read_rates(self, classes: tuple[str, ...] | None) -> ErrorRates | None:
        """Return the error rates; None without a source.

        Args:
            classes: Names of the classes to count; of a single one, ``metrics`` of that class
                count.
        """
        precision, recall, objects = rates = (
            self.measured_precision,
            self.measured_recall,
            self.measured_on,
        )
        has_rates = rates != (None, None, None)
        if (self.model is not None) + (self.metrics is not None) + has_rates > 1:
            raise UsageError(
                "name one of --model, --metrics, or --measured-precision and --measured-recall"
            )
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
        if precision is None or recall is None or objects is None:
            raise UsageError(
                "--measured-precision, --measured-recall and --measured-on go together: the "
                "fraction of predictions that is correct, the fraction of objects that is "
                "detected, and the number of objects"
            )
        return ErrorRates.from_rates(precision, recall, objects, source="the command line")
