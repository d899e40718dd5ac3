"""Write ``python.md``, the reference of the Python interface, from docstrings and examples.

python docs/python_reference.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geodetect
from geodetect.settings import keywords
from geodetect.settings.base import Settings

PAGE = Path(__file__).with_name("python.md")
EXAMPLES = Path(__file__).with_name("python_examples.py")
NOT_RUN = " (not run)"
INTRODUCTION = """# Python

Written by `python docs/python_reference.py` from the docstrings and from
[python_examples.py](python_examples.py), whose sections run as a test, from top to bottom.

- **Settings** are keywords, a dictionary or an object: `predict("scene.tif", conf=0.5)`,
  `predict("scene.tif", settings={"conf": 0.5})` or
  `predict("scene.tif", settings=PredictSettings(conf=0.5))`. Keywords win. An unknown one is an
  error that names the nearest.
- **Rasters** are files, folders, URLs, numpy arrays, open datasets of rasterio, or DataArrays with
  the CRS of rioxarray. An array without georeference is used in pixel coordinates; `ArrayRaster`
  gives it one.
- **Layers** (predictions, truth, register, zones, parcels, coverage, labels) are files or
  GeoDataFrames. An area of interest may also be a GeoSeries or a geometry of shapely, which is in
  the CRS of the raster.
- **Progress**: `progress=True` shows a bar in notebooks and terminals; a function gets the units
  of work that are completed and in all.
- **Results** have a short `repr`, and a table in notebooks.
- **Errors** are `GeodetectError`s, each also the builtin that a caller would expect, and name
  parameters.
"""
GROUPS = {
    "Detection": "predict predict_layer predict_to_file plan estimate coverage_table write",
    "Runs on many machines": "plan_to_folder predict_shards run_status draw_run_map merge_to_file",
    "Accuracy, changes and counts": "evaluate evaluate_model calibrate compare summarize "
    "error_rates_from_model error_rates_from_evaluation",
    "Pictures and pages": "report preview write_training_page",
    "Labels and training": "check export_chips train",
    "Models and rasters": "list_models load_card convert export_model quantize inspect_raster",
}
SECTIONS = re.compile(r"^(Args|Returns|Raises|Warns|Yields):\n", re.MULTILINE)


def page_text() -> str:
    """Return the page."""
    groups = {title: names.split() for title, names in GROUPS.items()}
    others = [name for name in geodetect.__all__ if name not in " ".join(GROUPS.values()).split()]
    settings = [name for name in others if name.endswith("Settings")]
    groups["Inputs, results and errors"] = [name for name in others if name not in settings]
    groups["Settings"] = settings
    examples, lines = read_examples(), [INTRODUCTION]
    for title, names in groups.items():
        lines += [f"## {title}", ""]
        for name in names:
            lines += [*entry_lines(name), "```python", examples[name], "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def read_examples() -> dict[str, str]:
    """Return the example of each public name."""
    text = EXAMPLES.read_text(encoding="utf-8")
    titles_and_code = re.split(r"^# %% (.+)\n", text, flags=re.MULTILINE)[1:]
    pairs = zip(titles_and_code[::2], titles_and_code[1::2], strict=True)
    return {title.removesuffix(NOT_RUN): code.strip() for title, code in pairs}


def entry_lines(name: str) -> Iterator[str]:
    """Yield heading, signature and description of a public name."""
    value = getattr(geodetect, name)
    yield f"### {name}"
    yield ""
    if not callable(value):
        yield from ("Version of the package.", "")
        return
    is_settings = isinstance(value, type) and issubclass(value, Settings)
    if not is_settings:
        yield from ("```", f"geodetect.{signature_text(name, value)}", "```", "")
    parts = SECTIONS.split(inspect.getdoc(value) or "")
    yield from (markdown(parts[0]).strip(), "")
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        yield from (f"**{title}**", "", markdown(items(text, title)), "")
    if is_settings:
        yield from settings_table(name, value)


def signature_text(name: str, value: Any) -> str:
    """Return the signature without types, and with ``**keywords`` for the settings."""
    if isinstance(value, type) and issubclass(value, Exception):
        return f"{name}(message)"
    function = inspect.unwrap(value)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function, follow_wrapped=False).parameters.values()
    ]
    text = str(inspect.Signature(parameters))
    return re.sub(r"<function (\w+) at \w+>|<factory>", lambda m: m[1] or "...", f"{name}{text}")


def items(text: str, title: str) -> str:
    """Return a section of a docstring as Markdown: a list where it names things."""
    text = inspect.cleandoc(text)
    if title in ("Returns", "Yields", "Warns"):
        return text
    return re.sub(r"^([\w*, ]+): ", r"- `\1`: ", text, flags=re.MULTILINE)


def markdown(text: str) -> str:
    """Return text of a docstring with the code of Markdown."""
    return text.replace("``", "`").rstrip()


def settings_table(name: str, value: type[Settings]) -> Iterator[str]:
    """Yield a table of the fields of a settings class."""
    types = getattr(keywords, name.replace("Settings", "Keywords")).__annotations__
    yield from ("| setting | takes | default | description |", "|---|---|---|---|")
    for field_name, field in sorted(value.model_fields.items()):
        kind = types[field_name].__forward_arg__.replace("|", "\\|")
        description = (field.description or "").replace("|", "\\|")
        yield f"| `{field_name}` | {kind} | `{field.default!r}` | {description} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page_text(), encoding="utf-8")
