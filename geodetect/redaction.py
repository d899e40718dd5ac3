"""Secrets in addresses, removed before a text is shown or written.

Addresses of imagery hold passwords (``https://user:password@host``) and signatures of cloud storage
(``?sig=...``, ``?X-Amz-Signature=...``), and GDAL repeats them in its messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

# up to a blank, quote or bracket, or the layer that QGIS appends: FILE|layername=NAME
_ADDRESS = re.compile(r"(?:\b[a-z][a-z0-9+.-]*://|/vsi\w+[/?])[^\s\"'<>|{}`]*", re.IGNORECASE)
# also if the password has a slash, but is no port
_USER = re.compile(r"(://)(?:[^/?#\s]*|[^/?#\s:@]*:(?!\d+/)[^?#\s]*)@")
# at its end, a query may have the punctuation of the sentence around it
_QUERY = re.compile(r"(?:[?#]|%3f|%23).*?([).,;:\]]*)$", re.IGNORECASE)
_STATED_ADDRESS = re.compile(r"(/vsi\w+)\?(?:.*&)?url=([^&]*).*", re.IGNORECASE)
_SECRET_WORDS = (
    r"(?:[a-z0-9]+[-_])*(?:sig|signature|token|secret|password|passwd|pwd|credential|api_?key|"
    r"accesskeyid|access_?key|account_?key|securitytoken)"
)
_SECRET = re.compile(rf"(?<![a-z0-9])({_SECRET_WORDS}\s*=\s*)[^\s&'\",;<>|]+", re.IGNORECASE)
_HEADER = re.compile(r"(\bauthorization\s*:\s*(?:\w+\s+)?)[^\s'\"<>]+", re.IGNORECASE)
# in the answers of cloud storage
_ELEMENT = re.compile(
    r"<(\w*(?:Signature|AccessKey|Token|StringToSign|CanonicalRequest)\w*)>[^<]*", re.IGNORECASE
)


def redact(text: str) -> str:
    """Return a path, an address or a message without the secrets of addresses.

    Queries and fragments of addresses, and the user before a host, are left out. Names of local
    files stay as they are.
    """
    if "=" not in text and "@" not in text and "?" not in text and "uthorization" not in text:
        return _ELEMENT.sub(r"<\1>***", text)
    text = _ADDRESS.sub(lambda match: _redact_address(match[0]), text)
    text = _SECRET.sub(r"\1***", text)
    text = _HEADER.sub(r"\1***", text)
    return _ELEMENT.sub(r"<\1>***", text)


def redact_all(value: Any) -> Any:
    """Return a value with all texts redacted, also inside of mappings and lists."""
    if isinstance(value, Mapping):
        return {key: redact_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _redact_address(address: str) -> str:
    stated = _STATED_ADDRESS.fullmatch(address)  # /vsicurl?use_head=no&url=https%3A%2F%2F...
    if stated is not None:
        address = f"{stated[1]}/{unquote(stated[2])}"
    return _QUERY.sub(r"\1", _USER.sub(r"\1", address))
