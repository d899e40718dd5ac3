"""Browsers that the tests of report pages share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", params=[1280, 390])
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Chromium on a desktop and on a phone."""
    pytest.importorskip("selenium", reason="needs selenium (extra: test)")
    from tests.helpers.report_browser import start_browser

    with start_browser(request.param) as chrome:
        yield chrome
