"""HTML pages from the jinja2 templates in the folder ``templates``."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from geodetect.version import __version__

if TYPE_CHECKING:
    import jinja2

# characters that end a script element, or a line of a script, are written as \uXXXX
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render(name: str, **values: Any) -> str:
    """Return the HTML of a template with these values of its variables; texts are escaped."""
    return _load_environment().get_template(name).render(version=__version__, **values)


def embed_json(values: Mapping[str, Any]) -> str:
    """Return compact JSON that is safe inside a ``script`` element, whatever texts it holds."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)


@cache
def _load_environment() -> jinja2.Environment:
    import jinja2  # takes a tenth of a second, and only few commands make pages
    from markupsafe import Markup

    loader = jinja2.PackageLoader("geodetect.reporting.html")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip

    def read_source(name: str) -> Markup:
        """Return a style sheet or script as it is: its braces are no jinja2 syntax."""
        return Markup(loader.get_source(environment, name)[0])

    def hash_source(script: str) -> str:
        """Return the hash that a content policy names a script by (CSP level 3, section 2.3.1)."""
        return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"

    environment.globals["source"] = read_source
    environment.filters["hash_source"] = hash_source
    return environment
