"""Errors and warnings that the library raises on purpose.

::

    GeodetectError
    ├── InputError            (ValueError)   a parameter or file content that cannot be used
    │   ├── SettingError                     a value that a setting cannot have
    │   ├── UnknownParameterError (TypeError) a parameter that a function does not have
    │   ├── BandError                        bands that the raster does not have
    │   ├── GeoreferenceError                no CRS, or one that cannot be used
    │   ├── LabelError                       labels that cannot be used
    │   ├── ModelFileError                   a model file that is damaged or of another kind
    │   └── DivergenceError                  a training whose loss is no longer a number
    ├── RasterError           (OSError)      a raster that cannot be opened or read
    ├── OutputError           (OSError)      a result that cannot be written
    ├── OutOfMemoryError      (MemoryError)  too little memory for the task
    ├── LostProcessError      (ConnectionError) another process of a training that has ended
    └── MissingDependencyError (ImportError) an extra that is not installed

A message states what is wrong, what was expected, and which parameter to change, as `parameter`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from geodetect.redaction import redact

MAX_TEXT_LENGTH = 400  # characters of another library's message: room for a path
MAX_NAME_LENGTH = 200  # characters: room for a path
MAX_NAMES = 8  # of a list of names in a message
MIN_SIMILARITY = 0.5  # of an unknown name to the one that was meant, by difflib


class GeodetectError(Exception):
    """Root of all errors raised on purpose; everything else is a bug.

    Messages hold no secrets of addresses.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(arg) if isinstance(arg, str) else arg for arg in args))


class InputError(GeodetectError, ValueError):
    """A parameter or file content cannot be used."""


class SettingError(InputError):
    """A setting has a value that it cannot have, or lacks one.

    Args:
        parameter: Name of the setting.
        problem: Text of what was expected.
        value: The value.
        is_missing: There is no value.
    """

    def __init__(
        self, parameter: str, problem: str, value: object = None, *, is_missing: bool = False
    ) -> None:
        text = f"`{parameter}` is missing: {problem}"
        if not is_missing:
            text = f"`{parameter}`: {problem}; found {short_repr(value)}"
        super().__init__(text)
        self.parameter, self.problem = parameter, problem
        self.value, self.is_missing = value, is_missing


class UnknownParameterError(InputError, TypeError):
    """A function, or a settings class, does not have a parameter of this name.

    Args:
        owner: Function or class.
        name: The unknown name.
        names: Names that it has.
    """

    def __init__(self, owner: str, name: str, names: Iterable[str]) -> None:
        candidates = sorted(names)
        nearest = get_close_matches(name, candidates, n=1, cutoff=MIN_SIMILARITY)
        hint = f"did you mean `{nearest[0]}`?" if nearest else f"expected {list_names(candidates)}"
        super().__init__(f"{owner} has no parameter `{name}`; {hint}")


class BandError(InputError):
    """The raster does not have the bands that are needed."""


class GeoreferenceError(InputError):
    """A raster or layer has no coordinate reference system, or one that cannot be used."""


class LabelError(InputError):
    """Labels cannot be used."""


class ModelFileError(InputError):
    """A model file is damaged, unknown or of another kind."""


class DivergenceError(InputError):
    """The loss of a training is no longer a number: its settings cannot be used."""


class RasterError(GeodetectError, OSError):
    """A raster cannot be opened or read."""


class OutputError(GeodetectError, OSError):
    """A result cannot be written."""


class LostProcessError(GeodetectError, ConnectionError):
    """Another process of the same training has ended."""


class OutOfMemoryError(GeodetectError, MemoryError):
    """There is too little memory for the task."""


class MissingDependencyError(GeodetectError, ImportError):
    """An optional dependency is not installed."""


class GeodetectWarning(UserWarning):
    """Something the user should know that does not stop the work, without secrets of addresses."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(arg) if isinstance(arg, str) else arg for arg in args))


class IncompleteWarning(GeodetectWarning):
    """An input that was named cannot be read; the result is complete but for it."""


def error_text(error: BaseException) -> str:
    """Return the message of another library's error on one line, or its class if it has none."""
    return redact(" ".join(str(error).split()))[:MAX_TEXT_LENGTH] or type(error).__name__


def short_repr(value: object) -> str:
    """Return a value as Python code on one line; of tables and arrays their type."""
    if hasattr(value, "__array__") or hasattr(value, "__geo_interface__"):
        return f"a {type(value).__name__}"
    text = " ".join(repr(value).split())
    return text if len(text) <= MAX_NAME_LENGTH else f"{text[:MAX_NAME_LENGTH]}..."


def suggestion(name: str, names: Iterable[str]) -> str | None:
    """Return the most similar one of several names; None: none is similar."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    nearest = get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[nearest[0]] if nearest else None


def suggest(name: str, names: Iterable[str]) -> str:
    """Return ``; did you mean NAME?`` for the most similar one of several names, else nothing."""
    nearest = suggestion(name, names)
    return "" if nearest is None else f"; did you mean {nearest}?"


def list_names(names: Iterable[object], *, limit: int = MAX_NAMES) -> str:
    """Return the first names with commas between, long ones cut, and the count of the rest."""
    texts = [str(name) for name in names]
    rest = len(texts) - limit
    shown = [t if len(t) <= MAX_NAME_LENGTH else f"{t[:MAX_NAME_LENGTH]}..." for t in texts[:limit]]
    return ", ".join(shown) + (f" and {rest:,} more" if rest > 0 else "")


@contextmanager
def translate_errors(message: str, error_class: type[GeodetectError]) -> Iterator[None]:
    """Raise every error of another library in this context as ``error_class``, on one line.

    It is the border to libraries that read foreign files: on damaged content they raise errors of
    any class. Only their calls belong in the context, so that our own bugs keep their traceback.

    Args:
        message: Beginning of the message, such as "pools.gpkg: not a layer that GDAL reads".
        error_class: Class of the error to raise.

    Raises:
        OutOfMemoryError: Too little memory.
        GeodetectError: As ``error_class``; errors raised on purpose pass as they are.
    """
    try:
        yield
    except GeodetectError:
        raise
    except MemoryError as error:
        subject = message.partition(": ")[0]  # the rest tells of another cause
        raise OutOfMemoryError(f"{subject}: too little memory") from error
    except Exception as error:
        raise error_class(f"{message} ({error_text(error)})") from error
