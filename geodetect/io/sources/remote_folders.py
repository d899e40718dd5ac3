"""Files of folders in object storage and on web servers."""

from __future__ import annotations

import re
import time
from functools import lru_cache, partial
from html.parser import HTMLParser
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen

from geodetect.errors import InputError, error_text
from geodetect.io.raster.remote import is_remote
from geodetect.io.s3_endpoint import endpoint_url, gdal_options
from geodetect.redaction import redact
from geodetect.threads import call_interruptibly

FILE_SYSTEMS = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}  # of GDAL, by scheme
TIMEOUT_S = 30
LIST_TIMEOUT_S = 600  # a thousand objects in each answer
MAX_PAGE_BYTES = 2**26
KEPT_S = 60  # a command asks for the same listing several times
_BUCKET = re.compile(r"(?:s3|gs|az)://[^/]+$")


def is_remote_folder(address: str) -> bool:
    """Return True for addresses that end in ``/``, without a query, and for whole buckets."""
    is_folder = is_remote(address) and address.endswith("/") and "?" not in address
    return is_folder or _BUCKET.match(address) is not None


def list_remote_folder(address: str) -> list[str]:
    """Return the addresses of the files of a folder, and of its folders, which end in ``/``.

    Object storage is listed by GDAL, with the keys of the environment. Web servers are asked for
    the page that lists the folder.

    Args:
        address: ``s3://``, ``gs://``, ``az://`` or ``http(s)://``, or the same as GDAL names it.

    Raises:
        InputError: It cannot be listed.
    """
    address = address if address.endswith("/") else f"{address}/"
    return _list_recently(address, endpoint_url(), int(time.monotonic() / KEPT_S))


@lru_cache(maxsize=16)
def _list_recently(address: str, server: str | None, minute: int) -> list[str]:
    scheme, _, path = address.removeprefix("/vsicurl/").partition("://")
    if scheme in ("http", "https"):
        names = _list_page(f"{scheme}://{path}")
    else:
        names = _list_objects(f"{FILE_SYSTEMS[scheme]}{path}" if path else address)
    return [f"{address}{name}" for name in sorted(names)]


def _list_objects(folder: str) -> set[str]:
    """Return the names of objects and folders of a folder of one of GDAL's file systems."""
    import pyogrio

    pyogrio.set_gdal_config_options(gdal_options())
    name = redact(folder)
    try:
        paths = call_interruptibly(
            partial(pyogrio.vsi_listtree, folder.rstrip("/")), timeout_s=LIST_TIMEOUT_S
        )
    except TimeoutError as error:
        raise InputError(f"{name}: cannot be listed (the server takes too long)") from error
    except (OSError, ValueError, pyogrio.errors.DataSourceError) as error:
        raise InputError(
            f"{name}: cannot be listed ({redact(error_text(error))}); expected a folder with "
            f"objects, and keys for it in the environment"
        ) from error
    inside = (path.removeprefix(folder) for path in paths)
    return {
        name if not rest else f"{name}/"
        for name, rest, _ in (path.partition("/") for path in inside)
        if name
    }


def _list_page(url: str) -> set[str]:
    """Return the names of files and folders that the page of a folder has links to."""
    name = redact(url)
    try:
        with urlopen(url, timeout=TIMEOUT_S) as response:
            page = response.read(MAX_PAGE_BYTES).decode("utf-8", "replace")
            url = response.url
    except (OSError, ValueError, HTTPException) as error:
        raise InputError(f"{name}: cannot be listed ({redact(error_text(error))})") from error
    parser = _Links()
    parser.feed(page)
    path = urlsplit(url).path
    names = set()
    for link in parser.links:
        parts = urlsplit(urljoin(url, link))
        inside = parts.path.removeprefix(path)
        is_below = parts.netloc == urlsplit(url).netloc and parts.path.startswith(path)
        if is_below and inside and not parts.query and "/" not in inside.rstrip("/"):
            names.add(inside)
    if not names:
        raise InputError(
            f"{name}: the server lists no files there; give their addresses in a text file instead"
        )
    return names


class _Links(HTMLParser):
    """Links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
