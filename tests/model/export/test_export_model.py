"""Models exported for other programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import shapely
from numpy.typing import NDArray

import geodetect
from geodetect.detection.detectors.load import load_detector
from geodetect.errors import InputError, OutputError
from geodetect.model.card import Calibration, TrainingRecord
from geodetect.model.file import read_model_file, write_model_file
from tests.helpers.onnx_detectors import write_painted_detector
from tests.helpers.square_scenes import GSD_M, squares_image
from tests.helpers.tiny_model import save_tiny_model

CORNERS = [(4, 4), (60, 12), (12, 76), (100, 100)]
GROUND = shapely.box(7, 43, 7.1, 43.1).wkt


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model of bright squares with calibrated scores and box voting, trained on a ground."""
    path = save_tiny_model(tmp_path_factory.mktemp("model") / "squares.safetensors")
    card, weights = read_model_file(path)
    changes = {
        "vote_iou": 0.6,
        "calibration": Calibration(slope=(0.5,), intercept=(-0.2,)),
        "training": TrainingRecord(ground=GROUND, licence="CC-BY-4.0"),
    }
    write_model_file(path, card.model_copy(update=changes), weights)
    return path


def run_onnx(path: Path, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"images": (pixels[None] / 255).astype(np.float32)})
    return dict(zip((o.name for o in session.get_outputs()), outputs, strict=True))


@pytest.mark.parametrize("target", ["geodeep", "deepness"])
def test_rows_are_those_of_yolov5_and_the_boxes_of_the_model(
    target: str, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "squares.onnx"
    geodetect.export_model(model, path, target=target)
    pixels = squares_image(128, CORNERS)
    rows = run_onnx(path, pixels)["output"][0]
    (expected,) = load_detector(model, device="cpu", precision="fp32")(
        pixels[None], np.ones((1, 128, 128), bool)
    )
    assert rows.shape[1] == 6
    assert not rows[-1].any()  # so that there is always a row
    rows = rows[rows[:, 4] >= 0.5]
    boxes = np.hstack([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2])
    assert len(expected) == len(CORNERS)
    order, expected_order = np.lexsort(boxes.round().T), np.lexsort(expected.boxes.round().T)
    np.testing.assert_allclose(boxes[order], expected.boxes[expected_order], atol=0.01)
    np.testing.assert_allclose(rows[order, 4], expected.scores[expected_order], atol=1e-3)
    assert (rows[:, 5] == 1).all()


def test_metadata_tell_resolution_tiles_classes_and_thresholds(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "squares.onnx"
    card = geodetect.export_model(model, path, target="geodeep")
    texts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    values = {key: json.loads(text) for key, text in texts.items()}
    assert card.gsd_m is not None
    assert values["resolution"] == pytest.approx(100 * card.gsd_m)
    assert values["class_names"] == {"0": "square"}
    assert (values["model_type"], values["det_type"]) == ("Detector", "YOLO_v5_or_v7_default")
    assert (values["tile_size"], values["det_conf"], values["det_iou_thresh"]) == (128, 0.5, 0.3)
    assert 0 < values["tiles_overlap"] <= 50
    assert values["license"] == "CC-BY-4.0"


def test_an_exported_detector_is_imported_with_the_same_detections(
    model: Path, tmp_path: Path
) -> None:
    pixels = squares_image(128, CORNERS)
    valid = np.ones((1, 128, 128), bool)
    (expected,) = load_detector(model, device="cpu", precision="fp32")(pixels[None], valid)
    for target in ("onnx", "geodeep"):
        path, imported = tmp_path / f"{target}.onnx", tmp_path / f"{target}.safetensors"
        geodetect.export_model(model, path, target=target)
        card = geodetect.convert(path, imported)
        assert (card.classes, card.tile_px, card.conf) == (("square",), 128, 0.5)
        assert card.gsd_m == pytest.approx(GSD_M)
        (found,) = load_detector(imported, precision="fp32")(pixels[None], valid)
        order, expected_order = (np.lexsort(d.boxes.round().T) for d in (found, expected))
        np.testing.assert_allclose(found.boxes[order], expected.boxes[expected_order], atol=0.01)


def test_a_model_is_described_as_a_stac_item(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "squares.mlm.json"
    geodetect.export_model(model, path, target="mlm")
    item = json.loads(path.read_text(encoding="utf-8"))
    values = item["properties"]
    assert "https://stac-extensions.github.io/mlm/v1.5.2/schema.json" in item["stac_extensions"]
    assert item["bbox"] == pytest.approx([7, 43, 7.1, 43.1])
    assert item["geometry"]["type"] == "Polygon"
    assert item["assets"]["model"]["href"] == "squares.safetensors"
    assert "mlm:model" in item["assets"]["model"]["roles"]
    assert values["mlm:tasks"] == ["object-detection"]
    assert values["mlm:input"][0]["input"]["shape"] == [-1, 3, 128, 128]
    names = [band["name"] for band in values["bands"]]
    assert values["mlm:input"][0]["bands"] == names == ["red", "green", "blue"]
    assert values["mlm:output"][0]["classification:classes"] == [
        {"value": 0, "name": "square", "description": "square"}
    ]
    assert (values["mlm:pretrained"], values["mlm:pretrained_source"]) == (False, None)
    assert values["license"] == "CC-BY-4.0"


def test_what_the_schemas_of_stac_and_mlm_require_is_in_the_item(
    model: Path, tmp_path: Path
) -> None:
    """The rules that concern such items, of STAC 1.1.0's item schema and of MLM's 1.5.2."""
    imported = tmp_path / "m.safetensors"
    source = write_painted_detector(tmp_path / "m.onnx", metadata={"names": "['a', 'b']"})
    geodetect.convert(source, imported)
    for path in (model, imported):
        target = tmp_path / f"{path.stem}.mlm.json"
        geodetect.export_model(path, target, target="mlm")
        item = json.loads(target.read_text(encoding="utf-8"))
        values, (asset,) = item["properties"], item["assets"].values()
        assert (item["type"], item["stac_version"]) == ("Feature", "1.1.0")
        assert ("bbox" in item) == (item["geometry"] is not None)
        assert {"links", "id"} <= item.keys()
        assert {"datetime", "start_datetime", "end_datetime"} <= values.keys()
        required = {"name", "architecture", "tasks", "input", "output"}
        assert {f"mlm:{name}" for name in required} <= values.keys()
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", values["mlm:name"])
        assert values["mlm:pretrained"] or values["mlm:pretrained_source"] is None
        assert asset["mlm:artifact_type"]
        assert values["bands"] == asset["bands"]  # in properties only beside those of an asset
        (tensor,), (result,) = values["mlm:input"], values["mlm:output"]
        assert tensor["bands"] == [band["name"] for band in values["bands"]]
        assert len(tensor["value_scaling"]) == len(tensor["bands"])
        for structure in (tensor["input"], result["result"]):
            assert len(structure["shape"]) == len(structure["dim_order"])
            assert all(re.fullmatch("[a-z-_]+", name) for name in structure["dim_order"])
        for entry in result["classification:classes"]:
            assert re.fullmatch("[0-9A-Za-z-_]+", entry["name"])
            assert isinstance(entry["value"], int)


def test_an_imported_model_has_a_description_but_is_not_exported_again(tmp_path: Path) -> None:
    source = write_painted_detector(tmp_path / "m.onnx", metadata={"names": "['a b', 'ü']"})
    imported = tmp_path / "m.safetensors"
    geodetect.convert(source, imported)
    with pytest.raises(InputError, match=r"was converted from an ONNX file itself .*m.onnx"):
        geodetect.export_model(imported, tmp_path / "x.onnx", target="geodeep")
    path = tmp_path / "m.mlm.json"
    geodetect.export_model(imported, path, target="mlm")
    values = json.loads(path.read_text(encoding="utf-8"))["properties"]
    assert values["mlm:architecture"] == "yolov8"
    names = [c["name"] for c in values["mlm:output"][0]["classification:classes"]]
    assert names == ["a-b", "class_x"]


def test_the_suffix_is_that_of_the_target_and_no_input_is_replaced(
    model: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"ends in \.onnx for `target` geodeep"):
        geodetect.export_model(model, tmp_path / "x.json", target="geodeep")
    with pytest.raises(OutputError, match=r"ends in \.json for `target` mlm"):
        geodetect.export_model(model, tmp_path / "x.onnx", target="mlm")
    existing = tmp_path / "there.onnx"
    existing.write_bytes(b"")
    with pytest.raises(OutputError, match="overwrite"):
        geodetect.export_model(model, existing)
