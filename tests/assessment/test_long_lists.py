"""Messages about thousands of classes, columns or layers: the first names and the count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geodetect.assessment.compare.comparison import compare
from geodetect.assessment.evaluate.evaluation import evaluate
from geodetect.assessment.summarize.zones import summarize
from geodetect.errors import InputError
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.labels.read import read_labels
from geodetect.settings import CompareSettings, EvaluateSettings, SummarizeSettings
from tests.helpers.layers import CRS, square_layer

COUNT = 3_000


def many_classes(prefix: str) -> gpd.GeoDataFrame:
    corners = np.stack([np.arange(COUNT) * 20.0, np.zeros(COUNT)], axis=1)
    return square_layer(*corners, **{"class": [f"{prefix}{i}" for i in range(COUNT)]})


def many_columns() -> gpd.GeoDataFrame:
    columns = {f"column{i}": [i] for i in range(COUNT)}
    return gpd.GeoDataFrame(columns, geometry=[shapely.box(0, 0, 9, 9)], crs=CRS)


def read_csv_of_many_columns(folder: Path) -> Any:
    path = folder / "a.csv"
    header = ",".join(f"column{i}" for i in range(COUNT))
    path.write_text(f"{header}\n{','.join(['1'] * COUNT)}\n")
    return read_labels(path)


@pytest.mark.parametrize(
    "call",
    [
        lambda _: evaluate(many_classes("a"), many_classes("b")),
        lambda _: compare(many_classes("a"), register=many_classes("b")),
        lambda _: summarize(
            many_classes("a"), many_classes("b"), settings=SummarizeSettings(classes=("c",))
        ),
        lambda _: summarize(
            many_columns(),
            many_columns(),
            settings=SummarizeSettings(class_field="c", classes=("x",)),
        ),
        lambda _: evaluate(many_columns(), many_columns(), EvaluateSettings(class_field="c")),
        lambda _: evaluate(many_columns(), many_columns(), EvaluateSettings(score_field="c")),
        lambda _: compare(
            many_columns(), register=many_columns(), settings=CompareSettings(class_field="c")
        ),
        read_csv_of_many_columns,
    ],
)
def test_a_message_about_thousands_of_names_is_short(
    tmp_path: Path, call: Callable[[Path], Any]
) -> None:
    with pytest.raises(InputError, match=r"and 2,9\d\d more") as error:
        call(tmp_path)
    assert len(str(error.value)) < 600


def test_labels_with_a_wrong_class_field_list_few_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    many_columns().to_parquet(path)
    with pytest.raises(InputError, match="and 2,992 more"):
        read_labels(path, LabelOptions(class_field="class"))
