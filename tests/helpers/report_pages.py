"""Data of report pages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import geodetect
from geodetect.settings import ReportSettings


def page_data(page: Path) -> dict[str, Any]:
    """Return the data inside a report page."""
    text = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert text is not None
    data: dict[str, Any] = json.loads(text[1])
    return data


def report_data(folder: Path, predictions: Any, **options: Any) -> dict[str, Any]:
    """Write ``report.html`` to a folder, and return its data.

    Args:
        folder: The folder.
        predictions: Predictions or changes.
        options: Settings of the report, and arguments of ``geodetect.report``.
    """
    settings = {k: options.pop(k) for k in list(options) if k in ReportSettings.model_fields}
    page = folder / "report.html"
    summary = geodetect.report(
        predictions,
        page,
        settings=ReportSettings.model_validate(settings),
        overwrite=True,
        **options,
    )
    assert summary.page_bytes == page.stat().st_size
    return page_data(page)
