"""Errors and warnings that the library raises on purpose.

::

    GeodetectError
    ├── InputError            (ValueError)   a parameter or file content that cannot be used
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

MAX_TEXT_LENGTH = 400  # characters of another library's message: room for a path


class GeodetectError(Exception):
    """Root of all errors raised on purpose; everything else is a bug."""


class InputError(GeodetectError, ValueError):
    """A parameter or file content cannot be used."""


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
    """Something the user should know that does not stop the work."""


def error_text(error: BaseException) -> str:
    """Return the message of another library's error on one line, or its class if it has none."""
    return " ".join(str(error).split())[:MAX_TEXT_LENGTH] or type(error).__name__
