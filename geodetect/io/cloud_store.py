"""Object storage as a store: S3 and what is compatible with it, Google Cloud Storage, Azure."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from geodetect.errors import (
    GeodetectError,
    GeodetectWarning,
    InputError,
    MissingDependencyError,
    OutputError,
    error_text,
)
from geodetect.io.s3_endpoint import endpoint_url
from geodetect.redaction import redact
from geodetect.threads import call_interruptibly

SCHEMES = ("s3://", "gs://", "az://")
KEYS = {
    "s3://": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs://": "GOOGLE_APPLICATION_CREDENTIALS",
    "az://": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
# a worker may have computed for an hour when the storage is away for some minutes; one that has
# never had an answer rather has a wrong address
PATIENCE_S, FIRST_PATIENCE_S = 600.0, 20.0
ROUND_S = 10.0  # seconds in which obstore repeats a request, with growing delays
PART_BYTES = 8 * 1024**2  # of objects that are sent in several requests
CLIENT_OPTIONS: dict[str, Any] = {
    "connect_timeout": "5s",
    "read_timeout": "30s",  # without a byte
    "timeout": "5m",  # of a whole request
}
RETRY_OPTIONS: dict[str, Any] = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=ROUND_S),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=3),
        "base": 2,
    },
}

T = TypeVar("T")
_DETAILS = "\n\nDebug source:"  # in the errors of obstore
_CODE = re.compile(r"<Code>(\w+)</Code>")  # in the answers of S3
_STATUS = re.compile(r"status code: (\d+)(?: ([A-Z][\w -]*))?")
_SYSTEM_MESSAGE = re.compile(r'message: "([^"]+)"')
_TRANSIENT = re.compile(
    r"status: (?:408|429|5\d\d)|kind: (?:Connect|Request|Timeout|Interrupted|Decode)"
)
# of machines in the cloud, which are asked last: there are no other keys
_KEY_SERVER = re.compile(r"169\.254\.169\.254|metadata\.google|TokenRequest|Missing\w+")
_REFUSED = re.compile(r"status: 40[13]|PermissionDenied|Unauthenticated")


class CloudStore:
    """Folder of a bucket as a store.

    Keys, region and server are those of the environment, as the tools of the provider read them. A
    request that a server does not answer is repeated for minutes, as other workers and the server
    itself may be restarted meanwhile.

    Args:
        url: Address of the folder: ``s3://bucket/folder``, ``gs://...`` or ``az://...``.

    Raises:
        InputError: The address cannot be used.
        MissingDependencyError: The extra ``cloud`` is not installed.
    """

    def __init__(self, url: str) -> None:
        self.location = redact(url.rstrip("/"))
        self._scheme = next(scheme for scheme in SCHEMES if url.startswith(scheme))
        self._has_answered = False
        try:
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as error:
            raise MissingDependencyError(
                f"{self.location}: object storage needs the extra `cloud`: "
                f"pip install 'geodetect[cloud]'"
            ) from error
        make_store: Any = from_url  # its overloads take no mapping of options
        options: dict[str, Any] = {}
        endpoint = endpoint_url() if self._scheme == "s3://" else None
        if endpoint is not None:
            options["endpoint"] = endpoint
        if self._scheme == "s3://" and _has_profile():
            options["credential_provider"] = _profile_credentials(self.location)
        client_options = CLIENT_OPTIONS
        if endpoint is not None and endpoint.startswith("http://"):
            client_options = CLIENT_OPTIONS | {"allow_http": True}
        try:
            self._store = make_store(
                url.rstrip("/"),
                client_options=client_options,
                retry_config=RETRY_OPTIONS,
                **options,
            )
        except (BaseError, ValueError) as error:
            raise InputError(
                f"{self.location}: cannot be used as a store ({self._cause(str(error))}); expected "
                f"{self._scheme}BUCKET/FOLDER"
            ) from error

    def put(self, name: str, data: bytes) -> None:
        """Write an object by one request, or in parts of which all appear together."""
        self._call(
            lambda: self._store.put(name, data, chunk_size=PART_BYTES),
            OutputError,
            f"cannot write {name}",
        )

    def get(self, name: str) -> bytes:
        """Read an object."""
        return self._call(
            lambda: bytes(self._store.get(name).bytes()), InputError, f"cannot read {name}"
        )

    def state(self, name: str) -> str:
        """Return size, ETag and time of change of an object in one text."""
        meta = self._call(lambda: self._store.head(name), InputError, f"cannot read {name}")
        return f"{meta['size']} bytes, {meta['e_tag']}, changed {meta['last_modified']}"

    def delete(self, name: str) -> None:
        """Remove an object; none of this name is no error."""
        with suppress(FileNotFoundError):
            self._call(lambda: self._store.delete(name), OutputError, f"cannot remove {name}")

    def names(self, prefix: str = "") -> list[str]:
        """List the objects; none if the folder does not exist."""
        folder = prefix.rpartition("/")[0]
        objects = self._call(
            lambda: self._store.list(folder or None).collect(), InputError, "cannot be listed"
        )
        names = (meta["path"] for meta in objects)
        return sorted(name for name in names if name.startswith(prefix))

    def _call(self, request: Callable[[], T], error_class: type[GeodetectError], problem: str) -> T:
        """Make a request; again while no server answers.

        Raises:
            FileNotFoundError: There is no such object.
            GeodetectError: As ``error_class``, with the problem and its cause.
        """
        from obstore.exceptions import BaseError

        limit_s = PATIENCE_S if self._has_answered else FIRST_PATIENCE_S
        end, is_first = time.monotonic() + limit_s, True
        while True:
            try:
                result = call_interruptibly(request)
            except (BaseError, OSError, ValueError) as error:
                text = str(error)
                if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in text:
                    self._has_answered = True
                    raise FileNotFoundError(f"{self.location}: {problem}") from error
                cause = self._cause(text)
                if not _TRANSIENT.search(text) or time.monotonic() > end:
                    raise error_class(f"{self.location}: {problem} ({cause})") from error
                if is_first and self._has_answered:
                    warnings.warn(
                        f"{self.location}: {cause}; the request is repeated for "
                        f"{limit_s / 60:.0f} minutes",
                        GeodetectWarning,
                        stacklevel=3,
                    )
                is_first = False
            else:
                self._has_answered = True
                return result

    def _cause(self, text: str) -> str:
        """Return the cause of an error of obstore in a few words, without what servers repeat."""
        summary, _, details = text.partition(_DETAILS)
        if code := _CODE.search(summary):
            cause = "there is no such bucket"
            if code[1] != "NoSuchBucket":
                cause = f"the server answered {code[1]}"
        elif status := _STATUS.search(summary):
            cause = f"the server answered {status[1]} {status[2] or ''}".strip()
        elif message := _SYSTEM_MESSAGE.search(details):
            cause = message[1][0].lower() + message[1][1:]
        elif "TimedOut" in details or "kind: Timeout" in details:
            cause = "no answer in time"
        else:
            cause = error_text(ValueError(summary.rpartition(" error: ")[2]))
        if _KEY_SERVER.search(text) or _REFUSED.search(details):
            return f"{cause}; set the keys in the environment: {KEYS[self._scheme]}"
        return cause


def _has_profile() -> bool:
    """Return True if keys are stated in a profile of AWS, which obstore does not read."""
    if "AWS_ACCESS_KEY_ID" in os.environ or "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ:
        return False
    files = (os.environ.get(f"AWS_{name}_FILE") for name in ("SHARED_CREDENTIALS", "CONFIG"))
    folder = Path.home() / ".aws"
    return "AWS_PROFILE" in os.environ or any(
        Path(file or default).is_file()
        for file, default in zip(files, (folder / "credentials", folder / "config"), strict=True)
    )


def _profile_credentials(location: str) -> Any:
    """Return the provider of the keys of a profile."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise MissingDependencyError(
            f"{location}: profiles of AWS need the extra `cloud`: pip install 'geodetect[cloud]'"
        ) from error
    try:
        return Boto3CredentialProvider()
    except Exception as error:
        raise InputError(
            f"{location}: the profile of AWS has no keys ({error_text(error)}); set {KEYS['s3://']}"
        ) from error
