"""The reference of the Python interface, and its examples."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest

import geodetect
from tests.helpers.program import ROOT

GENERATOR = ROOT / "docs/python_reference.py"
EXAMPLES = ROOT / "docs/python_examples.py"


def test_the_reference_equals_docstrings_and_examples() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    generated = runpy.run_path(str(GENERATOR))["page_text"]()
    assert page == generated, "run: python docs/python_reference.py"


def test_every_public_name_has_an_entry_and_an_example() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == sorted(geodetect.__all__)
    examples = runpy.run_path(str(GENERATOR))["read_examples"]()
    assert examples.keys() == set(geodetect.__all__)
    assert all(examples.values())


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("neighbourhood.tif", "neighbourhood.geojson"):
        shutil.copy(ROOT / "sample_data" / name, tmp_path)
    text = EXAMPLES.read_text(encoding="utf-8")
    sections = re.split(r"^(?=# %% )", text, flags=re.MULTILINE)
    script = tmp_path / "examples.py"
    kept = [section for section in sections if "(not run)" not in section.partition("\n")[0]]
    script.write_text("".join(kept), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    assert (tmp_path / "page.html").is_file()
