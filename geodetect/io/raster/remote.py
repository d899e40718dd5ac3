"""Rasters on servers: time limits, repeated requests, side files, and causes of failures."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from geodetect.errors import GeodetectError, RasterError, error_text
from geodetect.io import s3_endpoint
from geodetect.io.raster.georeference import GDAL_ERRORS
from geodetect.threads import call_interruptibly

REMOTE = re.compile(
    r"\b(?:https?|ftp|s3|gs|az|oss|adls|swift)://|/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)"
)
HTTP_OPTIONS: dict[str, Any] = {
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_LOW_SPEED_TIME": 15,  # seconds at less than the limit: with two more tries < 1 min
    "GDAL_HTTP_LOW_SPEED_LIMIT": 100,  # bytes per second
    "GDAL_HTTP_MAX_RETRY": 2,
    "GDAL_HTTP_RETRY_DELAY": 0.2,  # seconds, doubled each time
    "GDAL_HTTP_RETRY_CODES": "0,408,429,500,502,503,504",  # 0: dropped connections
}
OPEN_TIMEOUT_S = 30.0  # GDAL does not tell that requests for a header stall
STALL_TIMEOUT_S = 22.0  # of one read whose requests fail: a stall of 15 s, and one more try
SIDE_FILES_HINT = (
    "; files beside a raster on a server, such as a world file, are not read: download them with "
    "it, or write a COG"
)
TIME_LIMITS = ("GDAL_HTTP_CONNECTTIMEOUT", "GDAL_HTTP_LOW_SPEED_TIME", "GDAL_HTTP_TIMEOUT")
RETRY_DELAY_S = 0.5  # before a read is repeated, unless GDAL_HTTP_RETRY_DELAY is set
OPEN_BACKOFF = (1, 4)  # multiples of the delay: what does not open may be misspelt
READ_BACKOFF = (1, 4, 12)  # a server that starts again takes seconds
JITTER = (0.75, 1.25)  # so that not all readers come back at once
MAX_REPEATED_S = 10.0  # longest read that is repeated: longer ones ran into a time limit
MAX_MESSAGES = 100  # of one call: a damaged index gives one for each block

T = TypeVar("T")
_STATUS = re.compile(r"(?:HTTP response code: |response_code=)(\d+)( - Maximum.*redirects)?")
_CURL = re.compile(r"CURL error: ([^']+)")
_SERVICE = re.compile(r"HTTP status code: (\d+), error: (.+?)(?:\. Add the HTTP|$)")
_PERMANENT = re.compile(
    r"server answered 4(?!08|29)|redirects|not resolve host|URL rejected|SSL certificate"
)
_HARMLESS = re.compile(r"PROJ|overview level")  # a database of PROJ; no overviews
_ERROR = "GDAL signalled an error"  # in what rasterio logs
_LOGGERS = ("rasterio._env", "rasterio._err")


def is_remote(path: str) -> bool:
    """Return True for URLs, and for GDAL's virtual file systems on networks."""
    return REMOTE.search(path) is not None


def http_options() -> dict[str, Any]:
    """Return GDAL options for time limits, repeated requests and the server of ``s3://``.

    Those in the environment stay.
    """
    stated = {name: value for name, value in HTTP_OPTIONS.items() if name not in os.environ}
    return stated | s3_endpoint.gdal_options()


def http_limits(timeout_s: int) -> dict[str, Any]:
    """Return GDAL options for requests that are not worth a long wait, nor another try."""
    return {
        "GDAL_HTTP_MAX_RETRY": 0,
        "GDAL_HTTP_CONNECTTIMEOUT": timeout_s,
        "GDAL_HTTP_TIMEOUT": timeout_s,
    }


def read_from_server(
    read: Callable[[], T],
    reset: Callable[[], None],
    *,
    path: str,
    subject: str,
    is_certain: bool = True,
    is_opening: bool = False,
) -> T:
    """Read from a server; again if a request failed or was answered in part.

    A signal ends the wait. The time for all tries is limited, unless the user has set time limits,
    once a request has failed: a server that is slow but sends has all the time it needs for pixels.

    GDAL repeats single requests. It does not notice bodies that end too early, and where a request
    for an index failed, it takes blocks, masks and overviews as absent, without an error.

    Args:
        read: Reads and returns something.
        reset: Drops the open datasets, and what GDAL remembers of the file.
        path: File or URL, for messages.
        subject: Object of the sentence "cannot read ...", for messages.
        is_certain: The file lies on a server, so that any error may come from a request; else
            only those do that name one.
        is_opening: It reads little, so that the time is limited in any case.

    Raises:
        RasterError: A request failed, and failed again, or the time is over.
        GeodetectError: As ``read`` raises it.
    """
    tries: list[list[str]] = []
    delays_s = _retry_delays(OPEN_BACKOFF if is_opening else READ_BACKOFF)
    call = partial(_read_with_retries, read, reset, tries, delays_s, path, subject, is_certain)
    limit_s = OPEN_TIMEOUT_S if is_opening else STALL_TIMEOUT_S
    has_limits = any(name in os.environ for name in TIME_LIMITS)
    try:
        return call_interruptibly(
            call,
            timeout_s=None if has_limits else limit_s,
            is_stuck=lambda: is_opening or any(tries),
        )
    except TimeoutError as error:
        raise RasterError(f"{path}: cannot read {subject} (the server takes too long)") from error


def _read_with_retries(
    read: Callable[[], T],
    reset: Callable[[], None],
    tries: list[list[str]],
    delays_s: Sequence[float],
    path: str,
    subject: str,
    is_certain: bool,
) -> T:
    """Read as ``read_from_server`` does, and add the messages of each try to ``tries`` at once."""
    for delay_s in (*delays_s, None):
        start, error = time.monotonic(), None
        with record_messages() as messages:
            tries.append(messages)
            try:
                result = read()
            except (*GDAL_ERRORS, GeodetectError) as raised:
                error = raised
        errors = _errors_in(messages)
        if error is None and (not errors if is_certain else http_cause(errors) is None):
            return result  # requests that failed and are in no error were repeated
        cause = http_cause([*messages, *_texts(error)])
        if cause is None and not (is_certain and messages):  # an error that reading did not cause
            break
        reset()
        is_slow = time.monotonic() - start > MAX_REPEATED_S
        if delay_s is None or is_slow or (cause is not None and is_permanent(cause)):
            break
        time.sleep(delay_s)
    if cause is not None:
        raise RasterError(f"{path}: cannot read {subject} ({cause})") from error
    if isinstance(error, GeodetectError) or (error is not None and not is_certain):
        raise error
    text = [*errors, *_texts(error)][-1]
    raise RasterError(
        f"{path}: cannot read {subject} ({text}); the server sent less than the file should hold"
    ) from error


def _retry_delays(backoff: Sequence[float]) -> list[float]:
    """Return the seconds before each repeated read."""
    try:
        first_s = float(os.environ["GDAL_HTTP_RETRY_DELAY"])
    except (KeyError, ValueError):
        first_s = RETRY_DELAY_S
    return [first_s * multiple * random.uniform(*JITTER) for multiple in backoff]


def _texts(error: BaseException | None) -> list[str]:
    """Return the messages of a chain of errors, the first cause last."""
    texts = []
    while error is not None:
        texts.append(error_text(error))
        error = error.__cause__
    return texts


class _Recorder(logging.Handler):
    """Messages of GDAL, which rasterio logs, by thread."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        messages: list[str] | None = getattr(self.local, "messages", None)
        if messages is not None and len(messages) < MAX_MESSAGES:
            messages.append(record.getMessage())


_recorder = _Recorder()


@contextmanager
def record_messages() -> Iterator[list[str]]:
    """Record what GDAL says in this thread, errors that it does not report otherwise included.

    Where a request fails, GDAL may take parts of a file as absent, and return zeros or the pixels
    of other blocks without an error.
    """
    if not _recorder.local.__dict__.get("is_installed"):
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(_recorder)  # once, however often it is called
            logger.setLevel(logging.INFO)
        _recorder.local.is_installed = True
    outer = getattr(_recorder.local, "messages", None)
    messages: list[str] = []
    _recorder.local.messages = messages
    try:
        yield messages
    finally:
        _recorder.local.messages = outer
        if outer is not None:
            outer.extend(messages[: MAX_MESSAGES - len(outer)])


def _errors_in(messages: Iterable[str]) -> list[str]:
    """Return the errors among messages of GDAL, which need not have ended the call."""
    errors = [text for text in messages if text.startswith(_ERROR) and not _HARMLESS.search(text)]
    return [text.partition("msg=")[2].strip("'") for text in errors]


def http_cause(messages: Iterable[str]) -> str | None:
    """Return why a request failed, from messages of GDAL; None: they do not say."""
    cause = None
    for text in messages:
        if match := _STATUS.search(text):
            status = int(match[1])
            if match[2]:
                return "the server answers with one redirect after the other"
            if status >= HTTPStatus.MULTIPLE_CHOICES:
                return f"the server answered {status} {_phrase(status)}".rstrip()
            cause = cause or "the connection broke"
        elif match := _SERVICE.search(text):
            status = int(match[1])
            if status >= HTTPStatus.MULTIPLE_CHOICES:
                return f"the server answered {status} {_phrase(status)}".rstrip()
            return match[2]
        elif match := _CURL.search(text):
            return match[1].strip()
    return cause


def is_permanent(cause: str) -> bool:
    """Return True for causes that another try does not change."""
    return _PERMANENT.search(cause) is not None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
