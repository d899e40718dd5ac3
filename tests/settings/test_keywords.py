"""Settings as keywords, dictionaries and objects."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path
from typing import Any, Unpack

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import CRS

import geodetect
from geodetect import settings
from geodetect.errors import InputError, SettingError, UnknownParameterError
from geodetect.settings import EvaluateSettings, ModelSettings, PredictSettings, TrainSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PredictKeywords
from tests.helpers.program import ROOT

FUNCTIONS = {
    "calibrate": "CalibrateSettings",
    "check": "CheckSettings",
    "compare": "CompareSettings",
    "convert": "ConvertSettings",
    "estimate": "PredictSettings",
    "evaluate": "EvaluateSettings",
    "evaluate_model": "EvaluateSettings",
    "export_chips": "ChipSettings",
    "export_model": "ExportSettings",
    "plan": "PredictSettings",
    "plan_to_folder": "PredictSettings",
    "predict": "PredictSettings",
    "predict_layer": "PredictSettings",
    "predict_to_file": "PredictSettings",
    "preview": "PreviewSettings",
    "quantize": "QuantizeSettings",
    "report": "ReportSettings",
    "summarize": "SummarizeSettings",
    "train": "TrainSettings",
}


def resolve(given: Any = None, **keywords: Any) -> PredictSettings:
    return PredictSettings.resolve(given, keywords)


def test_the_types_of_keywords_equal_the_fields_of_settings() -> None:
    generator = runpy.run_path(str(ROOT / "docs/settings_keywords.py"))
    module = (ROOT / "geodetect/settings/keywords.py").read_text(encoding="utf-8")
    assert module == generator["module_text"](), "run: python docs/settings_keywords.py"


def test_every_function_with_settings_takes_them_as_keywords() -> None:
    functions = {name: getattr(geodetect, name) for name in geodetect.__all__ if name.islower()}
    with_settings = {
        name: function
        for name, function in functions.items()
        if callable(function) and "settings" in inspect.signature(function).parameters
    }
    del with_settings["predict_shards"]  # the plan states most of them
    assert set(with_settings) == set(FUNCTIONS)
    for name, function in with_settings.items():
        fields = getattr(settings, FUNCTIONS[name]).model_fields
        parameters = inspect.signature(function).parameters
        assert fields.keys() <= parameters.keys(), name
        assert all(
            parameters[field].default == fields[field].default
            for field in fields
            if name != "evaluate_model"
        ), name


def test_keywords_win_over_settings_whatever_their_form() -> None:
    for form in (PredictSettings(conf=0.3, gsd=0.5), {"conf": 0.3, "gsd": 0.5}):
        assert resolve(form, conf=0.7) == PredictSettings(conf=0.7, gsd=0.5)
        assert resolve(form, conf=None) == PredictSettings(gsd=0.5)


def test_the_stated_values_of_settings_make_the_same_settings() -> None:
    first = PredictSettings(conf=0.3, gsd="25cm", classes="car,plane", bbox=(0, 0, 9, 9))
    assert resolve(first.stated_values()) == first


def test_settings_of_a_base_class_are_taken_over() -> None:
    assert resolve(ModelSettings(conf=0.3), workers=2) == PredictSettings(conf=0.3, workers=2)


def test_a_former_name_of_a_setting_is_understood() -> None:
    for form in (EvaluateSettings(area="a.gpkg"), {"area": "a.gpkg"}):  # type: ignore[call-arg]
        assert EvaluateSettings.resolve(form, {"area": "b.gpkg"}).aoi == Path("b.gpkg")
    with pytest.raises(InputError, match=r"a\.gpkg does not exist"):
        geodetect.evaluate("a.gpkg", "b.gpkg", area="c.gpkg")  # type: ignore[call-arg]


@pytest.mark.parametrize("given", [EvaluateSettings(), TrainSettings(), 0.5, "conf=0.5"])
def test_other_objects_are_no_settings(given: Any) -> None:
    with pytest.raises(InputError, match="`settings`: expected PredictSettings, a dictionary or"):
        resolve(given)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_unknown_keyword_is_named_with_the_nearest_parameter(function: str) -> None:
    with pytest.raises(UnknownParameterError) as caught:
        getattr(geodetect, function)("a.tif", setings=None)
    text = f"{function}() has no parameter `setings`; did you mean `settings`?"
    assert str(caught.value) == text
    assert isinstance(caught.value, TypeError)


def test_the_confidence_is_called_conf() -> None:
    with pytest.raises(TypeError, match=r"predict\(\) has no parameter `confidence`; .* `conf`\?"):
        geodetect.predict("a.tif", confidence=0.5)  # type: ignore[call-arg]


def test_an_unknown_key_of_a_dictionary_is_named() -> None:
    with pytest.raises(UnknownParameterError, match="`tilesize`; did you mean `tile_size`"):
        geodetect.predict("a.tif", settings={"tilesize": 512})


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"conf": 70}, r"`conf`: expected .*; found 70$"),
        ({"tile_size": 0}, "`tile_size`: expected a number greater than or equal to 1; found 0$"),
        ({"gsd": "coarse"}, "`gsd`: expected metres per pixel, e.g. 0.25 or 25cm; found 'coarse'$"),
        ({"runtime": "jax"}, "`runtime`: expected 'auto', 'torch', 'openvino' or 'onnx'; found"),
        ({"bbox": (9, 0, 1, 5)}, "`bbox`: expected min x, min y, max x, max y"),
        ({"aoi": 5}, "`aoi`: expected a file, a GeoDataFrame or a geometry of shapely; found 5$"),
        ({"aoi": np.zeros((2, 2))}, "`aoi`: expected a file, .*; found a ndarray$"),
    ],
)
def test_a_value_out_of_range_names_the_parameter(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        geodetect.predict("a.tif", **keywords)


def test_arrays_and_objects_of_other_libraries_are_values() -> None:
    table = gpd.GeoDataFrame({"name": ["car"]}, geometry=[shapely.box(0, 1, 2, 3)], crs=3857)
    made = resolve(
        gsd=np.float32(0.25),
        workers=np.int64(2),
        bbox=table.total_bounds,
        classes=table["name"],
        src_crs=CRS(2154),
        aoi=table,
    )
    assert (made.gsd, made.workers, made.bbox) == (0.25, 2, (0, 1, 2, 3))
    assert made.classes == ("car",)
    assert CRS(made.src_crs).to_epsg() == 2154
    assert made.aoi is table
    assert made.stated_values()["aoi"] == "a GeoDataFrame"
    assert resolve(src_crs=2154).src_crs == "EPSG:2154"


def test_one_holdout_raster_or_path_objects_are_enough() -> None:
    made = TrainSettings(val_rasters=ROOT / "a.tif")
    assert made.val_rasters == (str(ROOT / "a.tif"),)


def test_the_decorator_keeps_name_docstring_and_order() -> None:
    def find(raster: str, **keywords: Unpack[PredictKeywords]) -> str:
        """Find."""
        return f"{raster} {keywords}"

    decorated = takes_settings(PredictSettings)(find)
    assert (decorated.__name__, decorated.__doc__) == ("find", "Find.")
    names = list(inspect.signature(decorated).parameters)
    assert names == ["raster", *sorted(PredictKeywords.__annotations__)]
    assert decorated("a.tif", conf=0.5) == "a.tif {'conf': 0.5}"
