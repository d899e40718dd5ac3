"""A page and its folder appear together, replace only what is theirs, or leave all as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from geodetect.errors import OutputError
from geodetect.reporting.html.output_folder import INDEX, check_page, files_folder, write_page


def write(page: Path, text: str, *, overwrite: bool = False, beside: bool = True) -> None:
    with write_page(page, overwrite=overwrite) as path:
        path.write_text(text)
        if beside:
            folder = files_folder(path)
            (folder / "0").mkdir(parents=True)
            (folder / INDEX).write_text("{}")
            (folder / "0" / f"{text}.webp").write_text(text)


def files_in(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_page_comes_with_its_folder(tmp_path: Path):
    write(tmp_path / "a.html", "one")
    assert files_in(tmp_path) == {"a.html", f"a_files/{INDEX}", "a_files/0/one.webp"}


def test_a_new_page_replaces_the_old_one_with_all_its_tiles(tmp_path: Path):
    write(tmp_path / "a.html", "one")
    write(tmp_path / "a.html", "two", overwrite=True)
    assert files_in(tmp_path) == {"a.html", f"a_files/{INDEX}", "a_files/0/two.webp"}
    write(tmp_path / "a.html", "three", overwrite=True, beside=False)
    assert files_in(tmp_path) == {"a.html"}
    assert (tmp_path / "a.html").read_text() == "three"


def test_without_overwrite_nothing_is_touched(tmp_path: Path):
    write(tmp_path / "a.html", "one")
    before = files_in(tmp_path)
    with pytest.raises(OutputError, match="overwrite"):
        write(tmp_path / "a.html", "two")
    (tmp_path / "a.html").unlink()
    with pytest.raises(OutputError, match="a_files already exists; set `overwrite` to replace it"):
        write(tmp_path / "a.html", "two")
    assert files_in(tmp_path) == before - {"a.html"}


def test_a_failure_leaves_the_old_page_and_no_traces(tmp_path: Path):
    write(tmp_path / "a.html", "one")
    before = files_in(tmp_path)

    def fail() -> None:
        with write_page(tmp_path / "a.html", overwrite=True) as path:
            files_folder(path).mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert files_in(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a_files"]


def test_a_folder_that_no_report_made_is_never_replaced(tmp_path: Path):
    (tmp_path / "a_files").mkdir()
    (tmp_path / "a_files" / "thesis.doc").write_text("years of work")
    with pytest.raises(OutputError, match="was not made by this command"):
        write(tmp_path / "a.html", "one", overwrite=True)
    assert files_in(tmp_path) == {"a_files/thesis.doc"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [("a.pdf", "end `output` in .html"), ("missing/a.html", "does not exist")],
)
def test_a_path_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, name: str, problem: str
):
    with pytest.raises(OutputError, match=problem):
        check_page(tmp_path / name, overwrite=False)
