"""Servers that are compatible with S3, stated once in the environment for all libraries.

The tools of AWS, and obstore, read ``AWS_ENDPOINT_URL``; GDAL has options of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

ENDPOINT_NAMES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
GDAL_ENDPOINT = "AWS_S3_ENDPOINT"  # without a scheme: AWS_HTTPS states it


def endpoint_url(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL of the server, also where it is stated for GDAL only; None: AWS itself."""
    for name in ENDPOINT_NAMES:
        if environment.get(name):
            return environment[name]
    server = environment.get(GDAL_ENDPOINT)
    if not server or "://" in server:
        return server or None
    is_plain = environment.get("AWS_HTTPS", "").upper() in ("NO", "OFF", "FALSE", "0")
    return f"{'http' if is_plain else 'https'}://{server}"


def gdal_options(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the options with which GDAL asks the server that is stated for other libraries."""
    url = endpoint_url(environment)
    if url is None or GDAL_ENDPOINT in environment:
        return {}
    parts = urlsplit(url)
    options = {
        GDAL_ENDPOINT: f"{parts.netloc}{parts.path.rstrip('/')}",
        "AWS_HTTPS": "NO" if parts.scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",  # buckets are folders of the server, not hosts
    }
    return {name: value for name, value in options.items() if name not in environment}
