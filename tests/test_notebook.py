"""The notebook of the documentation runs, and its outputs are short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.program import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = ROOT / "docs/notebook.ipynb"
MAX_LINES = 50


def output_texts(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the text that each cell shows; tables of HTML have the same rows."""
    return [
        "".join(
            output.get("text", "") + output.get("data", {}).get("text/plain", "")
            for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def shown_lines(text: str) -> list[str]:
    """Return the lines that stay: a bar rewrites its line after a carriage return."""
    return re.sub(r"[^\n]*\r(?!\n)", "", text).splitlines()


def test_the_notebook_runs_with_short_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the kernel
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=240, resources=resources).execute()
    texts = output_texts(notebook)
    assert max(len(shown_lines(text)) for text in texts) <= MAX_LINES
    assert not any("Warning" in text for text in texts)
    assert any("Detecting" in text for text in texts)  # the bar
    assert "<caption>Evaluation</caption>" in nbformat.writes(notebook)


def test_the_notebook_is_stored_with_short_outputs_and_no_paths_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|home|root|Users)\b", text)
    assert len(text) < 200_000
    notebook = nbformat.reads(text, as_version=4)
    assert max(len(shown_lines(text)) for text in output_texts(notebook)) <= MAX_LINES
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
