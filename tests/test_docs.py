"""The documents agree with the code."""

from __future__ import annotations

import runpy

from tests.helpers.program import ROOT


def test_the_module_map_in_the_docs_equals_the_docstrings() -> None:
    generator = runpy.run_path(str(ROOT / "docs/module_map.py"))
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert page == generator["page_with_map"](), "run: python docs/module_map.py"
