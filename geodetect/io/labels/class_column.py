"""Class names of the rows of a vector layer: choice of the column, gaps, spelling."""

from __future__ import annotations

import re
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd

from geodetect.class_names import normalize_class_name
from geodetect.errors import GeodetectWarning, LabelError, list_names, suggest
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.vector.features import find_column
from geodetect.types import ObjectArray, PathLike

CLASS_FIELDS = (
    *("class", "class_name", "classname", "class_label", "object_class"),
    *("label", "label_name", "labels", "category", "category_name", "class_id"),
)
# May also be the name of a place or the kind of a geometry: a class only if its values repeat.
VAGUE_CLASS_FIELDS = ("type", "kind", "name")
_KINDS = {
    "boolean": "true and false",
    "empty": "no values",
    "floating": "numbers with decimals",
}
_WHOLE_NUMBER = re.compile(r"\d+\.0+")  # as CSV and dBASE write it


def read_class_names(
    table: gpd.GeoDataFrame, path: PathLike, options: LabelOptions
) -> ObjectArray | None:
    """Return the class name of each row; None if the table has no column of classes.

    Args:
        table: A layer with columns besides its geometry.
        path: Its file, for errors.
        options: Column of classes, and class of rows that have none.

    Raises:
        LabelError: The named column does not exist, or rows have no class.
    """
    columns = pd.DataFrame(table.drop(columns="geometry"))
    if options.class_field is None:
        field = _guess_class_field(columns, path)
    else:
        field = find_column(columns, options.class_field)
        if field is None and len(table):
            fields = list_names(columns) or "geometries"
            raise LabelError(
                f"{path} has no column {options.class_field!r}, only {fields}; set `class_field` "
                f"to the column of classes{suggest(options.class_field, map(str, columns))}"
            )
    if field is None:
        return None
    return fill_class_names(
        np.array([as_class_name(value) for value in columns[field]], dtype=object),
        options.default_class,
        f"{path} has {{}} rows without a class in column {field!r}; fill them, or set "
        f"`class_field` to another column",
    )


def fill_class_names(names: ObjectArray, default: str | None, message: str) -> ObjectArray:
    """Replace blank class names by a default.

    Args:
        names: ``object[N]``, blank where there is none.
        default: Class of blank ones; None: they are an error.
        message: Message of the error, with ``{}`` for "n of N".

    Raises:
        LabelError: There are blank names and no default.
    """
    is_blank = names == ""
    if default is None and is_blank.any():
        raise LabelError(message.format(f"{is_blank.sum()} of {len(names)}"))
    return np.where(is_blank, default or "", names).astype(object)


def as_class_name(value: object) -> str:
    """Return a value as a class name, blank for a gap.

    pandas reads integers next to gaps as floats: 2.0 is class 2, as number and as text.
    """
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    name = normalize_class_name(str(value))
    return name.partition(".")[0] if _WHOLE_NUMBER.fullmatch(name) else name


def _guess_class_field(columns: pd.DataFrame, path: PathLike) -> str | None:
    """Find the column that holds classes by its name and values; warn if none can be used."""
    rejected: list[str] = []
    for name in CLASS_FIELDS:
        field = find_column(columns, name)
        if field is None:
            continue
        kind = _infer_type(columns[field])
        if kind in ("string", "integer"):
            return field
        rejected.append(f"{field!r} holds {_KINDS.get(kind, f'values of type {kind}')}")
    for name in VAGUE_CLASS_FIELDS:
        field = find_column(columns, name)
        if field and _infer_type(columns[field]) == "string":
            values = columns[field]
            if not values.isna().any() and values.nunique() <= max(1, len(values) // 2):
                return field
    if rejected and len(columns):
        warnings.warn(
            f"{path}: no column is used for classes: {list_names(rejected)}; name the column with "
            f"`class_field`",
            GeodetectWarning,
            stacklevel=3,
        )
    return None


def _infer_type(values: pd.Series[str]) -> str:
    """Return the type of a column's values besides gaps: "string", "integer", "empty", ..."""
    present = values.dropna()
    inferred = str(pd.api.types.infer_dtype(present.astype(object), skipna=True))
    # integers are read as floats next to gaps, and written as such by some programs
    is_integer = inferred == "floating" and (present % 1 == 0).all()
    return "integer" if is_integer else inferred
