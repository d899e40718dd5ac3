"""Write the map of modules in ``architecture.md`` from the first lines of all docstrings.

python docs/module_map.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- module map -->\n```\n", "```\n<!-- end of module map -->\n"
WIDTH = 30  # of the column of names


def module_map() -> str:
    """Return the map as text, one line per package and module."""
    return "".join(
        f"{line}\n"
        for package in (ROOT / "geodetect", ROOT / "cli/geodetect_cli")
        for line in package_lines(package, 0)
    )


def package_lines(package: Path, depth: int) -> Iterator[str]:
    """Yield the lines of a package: its modules, then its packages."""
    yield line(f"{package.name}/", package / "__init__.py", depth)
    for module in sorted(package.glob("*.py")):
        if module.name != "__init__.py":
            yield line(module.name, module, depth + 1)
    for folder in sorted(package.iterdir()):
        if (folder / "__init__.py").exists():
            yield from package_lines(folder, depth + 1)


def line(name: str, module: Path, depth: int) -> str:
    """Return one line of the map: an indented name and the first line of the docstring."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return f"{'  ' * depth + name:{WIDTH}} {docstring.partition(chr(10))[0]}".rstrip()


def page_with_map() -> str:
    """Return the text of the page with the map of today."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + module_map() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page_with_map(), encoding="utf-8")
