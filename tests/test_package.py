"""Public names of the package, and the cost of its import."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

import geodetect
from geodetect import errors
from tests.helpers.program import ROOT, modules_after, program_environment


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = {"torch", "torchvision", "geopandas", "rasterio", "shapely", "pandas", "typer", "rich"}
    assert not modules_after("import geodetect") & heavy


@pytest.mark.parametrize(
    "module",
    [
        "geodetect.settings",
        "geodetect.io.raster.reader",
        "geodetect.io.vector.write",
        "geodetect.io.labels.read",
        "geodetect.io.raster.info",
        "geodetect.assessment.evaluate.metrics",
    ],
)
def test_rooms_that_need_no_network_do_not_load_torch(module: str) -> None:
    assert "torch" not in modules_after(f"import {module}")


def test_the_library_never_loads_the_program() -> None:
    code = "import geodetect.detection.predict, geodetect.training.train"
    assert not modules_after(code) & {"typer", "geodetect_cli"}


def test_the_package_runs_as_the_program() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "geodetect", "--help"],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    )
    assert process.stdout.startswith("Usage: geodetect [OPTIONS] COMMAND")


@pytest.mark.parametrize("name", geodetect.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(geodetect, name) is not None
    assert name in dir(geodetect)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="attribute giraffe"):
        _ = geodetect.giraffe


def test_every_error_is_also_the_builtin_that_a_caller_expects() -> None:
    assert issubclass(errors.ModelFileError, ValueError)
    assert issubclass(errors.RasterError, OSError)
    assert issubclass(errors.OutputError, OSError)
    assert issubclass(errors.MissingDependencyError, ImportError)
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    foreign = [k for k in kinds if not issubclass(k, errors.GeodetectError)]
    assert foreign == [errors.GeodetectWarning, errors.IncompleteWarning]


def test_the_project_file_names_the_program_and_reads_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"geodetect": "geodetect_cli.app:main"}
    assert project["tool"]["hatch"]["version"]["path"] == "geodetect/version.py"
    assert (ROOT / "geodetect" / "version.py").read_text().count(geodetect.__version__) == 1


def test_the_library_names_no_option_of_the_command_line() -> None:
    options = [
        f"{file.relative_to(ROOT)}: {option}"
        for file in sorted((ROOT / "geodetect").rglob("*.py"))
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", file.read_text(encoding="utf-8"))
    ]
    assert options == []
