"""Values of options that a shell completes."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence

from geodetect_cli.command_line.file_kinds import MODEL


def value_completer(
    choices: Sequence[str], *, reads_model: bool
) -> Callable[[str], list[str]] | None:
    """Return a function that completes the values of an option; None: the shell completes files.

    Args:
        choices: Values to choose from.
        reads_model: The value may be a built-in model or a model file, too.
    """
    if not (choices or reads_model):
        return None

    def complete(incomplete: str) -> list[str]:
        """Return values, of which typer takes those that begin with a text."""
        return [*choices, *(_models(incomplete) if reads_model else ())]

    return complete


def _models(incomplete: str) -> list[str]:
    """Return the names of built-in models, and the model files whose names begin with a text."""
    from geodetect.model.file import list_models

    pattern = f"{glob.escape(incomplete)}*"
    files = (file for suffix in MODEL for file in glob.glob(f"{pattern}{suffix}"))  # noqa: PTH207
    return [*list_models(), *sorted(files)]
