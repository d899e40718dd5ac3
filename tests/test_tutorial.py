"""The tutorial runs from its first command to its last and prints what the page shows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import geodetect
from geodetect.errors import GeodetectWarning
from tests.helpers.program import ROOT, program_environment

TUTORIAL = runpy.run_path(str(ROOT / "docs/tutorial.py"))
PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")


def words(page: str) -> list[list[str]]:
    """Return the words of each line, without numbers and the runtime, which differ by processor."""
    page = re.sub(r"(?<=OpenVINO )\w+", "precision", page)
    return [re.sub(r"[\d,.]+", "0", line).split() for line in page.splitlines()]


def test_the_commands_print_what_the_page_shows_and_write_the_files_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", program_environment()["PYTHONPATH"])
    page = TUTORIAL["page_with_outputs"](tmp_path)
    assert words(page) == words(PAGE), "run: python docs/tutorial.py"
    files = set(re.findall(r"town/\w+\.\w+", PAGE))
    assert {"town/pools.gpkg", "town/changes.gpkg", "town/zones.gpkg", "town/town.html"} < files
    assert [name for name in files if not (tmp_path / name).is_file()] == []
    layers = [tmp_path / "town" / name for name in ("pools.gpkg", "register.gpkg")]
    with pytest.warns(GeodetectWarning, match=r"differ .* by about [23]\.\d m .*try `distance`"):
        counts = geodetect.compare(*layers).counts
    shown = re.search(r"New +(\d+)", page)
    assert shown is not None
    assert counts["new"] >= 1.8 * int(shown[1])  # as the page says
