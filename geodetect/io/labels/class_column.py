"""Which column of a label file holds the classes, and how its values are named."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd

from geodetect.errors import LabelError
from geodetect.io.labels.label_set import LabelOptions
from geodetect.types import ObjectArray, PathLike

CLASS_FIELDS = (
    *("class", "class_name", "classname", "class_label", "object_class"),
    *("label", "label_name", "labels", "category", "category_name", "class_id"),
)
# May also be the name of a place or the kind of a geometry: a class only if its values repeat.
VAGUE_CLASS_FIELDS = ("type", "kind", "name")


def class_names(
    table: gpd.GeoDataFrame, path: PathLike, options: LabelOptions
) -> ObjectArray | None:
    """The class of each row; None where the table has no class column.

    Args:
        table: A layer with columns besides its geometry.
        path: Its file, for errors.
        options: The column and the class of rows that have none, as the user states them.

    Raises:
        LabelError: No such column, or rows without a class.
    """
    columns = pd.DataFrame(table.drop(columns="geometry"))
    wanted = options.class_field
    field = _obvious_field(columns) if wanted is None else _named_field(columns, wanted)
    if field is None and wanted is not None and len(table):
        found = ", ".join(map(str, columns)) or "geometries"
        raise LabelError(
            f"{path} has no column {wanted!r}, only {found}; "
            f"name the column of classes with --class-field"
        )
    if field is None:
        return None
    return filled(
        np.array([as_name(value) for value in columns[field]], dtype=object),
        f"{path} has {{}} rows without a class in column {field!r}; "
        f"fill them, or name another column with --class-field",
        default=options.default_class,
    )


def filled(names: ObjectArray, message: str, *, default: str | None) -> ObjectArray:
    """Class names with gaps filled.

    Args:
        names: ``object[N]``, blank where there is none.
        message: What to say of gaps, with a place for ``n of N``.
        default: What to fill them with; None: they are an error.

    Raises:
        LabelError: There are gaps and nothing to fill them with.
    """
    blank = names == ""
    if not blank.any():
        return names
    if default is None:
        raise LabelError(message.format(f"{blank.sum()} of {len(names)}"))
    return np.where(blank, default, names).astype(object)


def as_name(value: object) -> str:
    """A class name; blank for a gap. Integers next to gaps are read as floats: 2.0 is class 2."""
    if value is None or value is pd.NA or value != value:
        return ""
    return (
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    )


def _named_field(columns: pd.DataFrame, name: str) -> str | None:
    """The column of this name, in any case if there is none in this case."""
    names = [str(column) for column in columns]
    in_any_case = [column for column in names if column.lower() == name.lower()]
    return name if name in names else next(iter(in_any_case), None)


def _obvious_field(columns: pd.DataFrame) -> str | None:
    """The column that plainly holds classes, if there is one."""
    for name in CLASS_FIELDS:
        field = _named_field(columns, name)
        if field and _kind(columns[field]) in ("string", "integer"):
            return field
    for name in VAGUE_CLASS_FIELDS:
        field = _named_field(columns, name)
        if field and _kind(columns[field]) == "string" and _repeats(columns[field]):
            return field
    return None


def _repeats(values: pd.Series[str]) -> bool:
    """Whether values stand for kinds rather than for single things, without gaps."""
    return not values.isna().any() and values.nunique() <= max(1, len(values) // 2)


def _kind(values: pd.Series[str]) -> str:
    """What a column holds besides gaps: "string", "integer", "empty", ..."""
    known = values.dropna()
    kind = str(pd.api.types.infer_dtype(known.astype(object), skipna=True))
    beside_gaps = len(known) < len(values)  # integers are read as floats there
    return "integer" if kind == "floating" and beside_gaps and (known % 1 == 0).all() else kind
