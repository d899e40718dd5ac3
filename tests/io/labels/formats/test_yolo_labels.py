"""YOLO data sets: descriptions, encodings, key points, numbers that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodetect.errors import GeodetectWarning, LabelError
from geodetect.io.labels.read import read_labels
from tests.helpers.label_files import all_boxes, read_image_labels, write_text

LINE = "1 0.5 0.5 0.2 0.4\n"
BOX = [0.4, 0.3, 0.6, 0.7]


def names_of(folder: Path, text: str, *, name: str = "data.yaml") -> list[str]:
    write_text(folder / "labels" / "a.txt", LINE)
    write_text(folder / name, text)
    return list(read_image_labels(folder).names)


@pytest.mark.parametrize("name", ["data.yaml", "dataset.yml", "pools.yaml", "coco8.YAML"])
@pytest.mark.parametrize(
    "names",
    [
        "names: [tank, pool]",
        "names: {0: tank, 1: pool}",
        "names: {'0': tank, \"1\": pool}",
        "names: {1: pool}",
        "names: {pool: 1, tank: 0}",
        "nc: 2\nnames:\n  - tank\n  - pool",
        '"names": ["tank", "pool"]',
        "nc: 2.0\nnames : [tank, pool]",
    ],
)
def test_names_are_those_of_any_yaml_file_of_the_set(tmp_path: Path, names: str, name: str) -> None:
    assert names_of(tmp_path, f"train: images\n{names}\n", name=name) == ["pool"]


def test_one_name_without_a_list_is_a_whole_name(tmp_path: Path) -> None:
    write_text(tmp_path / "labels" / "a.txt", LINE.replace("1", "0", 1))
    write_text(tmp_path / "data.yaml", "names: pool\n")
    assert list(read_image_labels(tmp_path).names) == ["pool"]


@pytest.mark.parametrize("name", ["no", "on", "007", "1.10", "null_island", "2024-01-01"])
def test_names_stay_the_texts_they_are(tmp_path: Path, name: str) -> None:
    assert names_of(tmp_path, f"names: [tank, {name}]\n") == [name]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names:\n  0:\n  1: pool\n", "class 0 has no name"),
        ("names:\n", "`names` is empty"),
        ("names:\n  -\n  - pool\n", "class 0 has no name"),
        ("names: [tank, '']\n", "class 1 has no name"),
        ("names: {0: ~, 1: pool}\n", "class 0 has no name"),
        ("names: {a: tank, b: pool}\n", "the key 'a', no number"),
        ("names: {0: tank, 00: pool}\n", "class 00 has two names"),
        ("names: {0: tank, 0: pool}\n", "a key occurs twice"),
        ("names: {0: [tank], 1: pool}\n", "class 0 has no name"),
        ("nc: 3\nnames: [tank, pool]\n", "`nc: 3`, but 2 names"),
        ("nc: 1\nnames: {0: tank, 1: pool}\n", "`nc: 1`, but 2 names"),
        ("names: {0: tank}\n", "class 1 has no name in .*data.yaml, which names only 0"),
        ("names: [tank\n", "cannot be read as YAML"),
        ("names: &a [tank, *a]\n", "refers to an anchor"),
        ("kpt_shape: 3\nnames: [tank, pool]\n", "`kpt_shape` is 3"),
    ],
)
def test_a_description_that_cannot_be_used_is_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(LabelError, match=reason) as caught:
        names_of(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "tank\npool\n"),
        ("classes.txt", "tank\r\npool\r\n"),
        ("classes.txt", "tank\rpool\r"),
        ("obj.names", "tank\npool"),
        ("pools.names", "tank\npool"),
        ("labels/classes.txt", "tank\npool"),
        ("notes.json", '{"categories": [{"id": 0, "name": "tank"}, {"id": 1, "name": "pool"}]}'),
    ],
)
def test_names_may_be_a_list(tmp_path: Path, name: str, text: str) -> None:
    assert names_of(tmp_path, text, name=name) == ["pool"]


def test_names_that_differ_between_files_are_an_error(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "pool\ntank\n")
    with pytest.raises(LabelError, match=r"data\.yaml and .*classes\.txt name the classes differ"):
        names_of(tmp_path, "names: [tank, pool]\n")


def test_composed_and_decomposed_names_are_one_class(tmp_path: Path) -> None:
    assert names_of(tmp_path, "names: [tank, Be\u0301cken]\n") == ["B\u00e9cken"]


def test_a_name_of_two_classes_is_told(tmp_path: Path) -> None:
    with pytest.warns(GeodetectWarning, match="several classes the name pool: they become one"):
        assert names_of(tmp_path, "names: [pool, pool]\n") == ["pool"]


def test_yaml_files_of_other_programs_are_no_descriptions(tmp_path: Path) -> None:
    write_text(tmp_path / "docker-compose.yaml", "services: *broken\n")
    write_text(tmp_path / "labels" / "a.txt", LINE)
    assert list(read_image_labels(tmp_path).names) == ["1"]


@pytest.mark.parametrize(
    ("shape", "rest"),
    [
        ("[3, 2]", 3 * " 0.4 0.4"),
        ("[3, 3]", 3 * " 0.4 0.4 2"),
        ("[17, 2]", 17 * " 0.4 0.4"),
        ("[17, 3]", 17 * " 0.4 0.4 2"),  # as many fields as lines of KITTI have
    ],
)
def test_of_key_points_the_box_comes_first(tmp_path: Path, shape: str, rest: str) -> None:
    write_text(tmp_path / "data.yaml", f"kpt_shape: {shape}\nnames: [tank, pool]\n")
    write_text(tmp_path / "labels" / "a.txt", LINE.strip() + rest + "\n" + LINE)
    np.testing.assert_allclose(all_boxes(read_image_labels(tmp_path)), [BOX, BOX])


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("kpt_shape: [4, 3]\nnames: [tank, pool]", r"14 numbers, but `kpt_shape: \[4, 3\]`.*17"),
        ("names: [tank, pool]", r"look like a box and 3 key points; .*`kpt_shape: \[3, 3\]`"),
    ],
)
def test_key_points_that_the_description_does_not_state_are_an_error(
    tmp_path: Path, description: str, reason: str
) -> None:
    write_text(tmp_path / "data.yaml", description)
    write_text(tmp_path / "labels" / "a.txt", LINE.strip() + 3 * " 0.4 0.4 2")
    with pytest.raises(LabelError, match=reason):
        read_labels(tmp_path)


def test_of_a_rotated_rectangle_it_is_the_bounds_of_its_corners(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "0 0.5 0.3 0.6 0.5 0.5 0.7 0.4 0.5\n")
    assert all_boxes(read_image_labels(tmp_path / "a.txt")) == [BOX]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + LINE.encode(),
        LINE.encode("utf-16"),
        LINE.encode("utf-16-be"),
        LINE.replace("\n", "\r\n").encode() * 1,
        b"1 0.5 0.5 0.2 0.4   \n\n   \n",
        b"1,0.5,0.5,0.2,0.4\n",
        b"1, 0.5, 0.5, 0.2, 0.4,\n",
        b"1;0.5;0.5;0.2;0.4\n",
        b"1\t0.5\t0.5\t0.2\t0.4\n",
        b"1 0,5 0,5 0,2 0,4\n",
        b"1.0 .5 5e-1 0.2 0.4\r",
    ],
)
@pytest.mark.parametrize("in_folder", [True, False])
def test_lines_are_read_in_any_encoding_and_with_any_separator(
    tmp_path: Path, content: bytes, in_folder: bool
) -> None:
    path = write_text(tmp_path / "labels" / "a.txt", content)
    labels = read_image_labels(tmp_path if in_folder else path)
    np.testing.assert_allclose(all_boxes(labels), [BOX])
    assert list(labels.names) == ["1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("inf 0.5 0.5 0.2 0.4", "inf is no number of a class"),
        ("nan 0.5 0.5 0.2 0.4", "nan is no number of a class"),
        ("0.5 0.5 0.5 0.2 0.4", "0.5 is no number of a class"),
        ("-1 0.5 0.5 0.2 0.4", "-1 is no number of a class"),
        ("0 inf 0.5 0.2 0.4", "inf is no fraction"),
        ("0 0.5 nan 0.2 0.4", "nan is no fraction"),
        ("0 0.5 0.5 1e300 0.4", "1e[+]300 is no fraction"),
        ("0 0.5 0.5 0.2 0.4 1.2", "1.2, is no score"),
        ("0 0.5 0.5 0.2", "a line of 4 numbers"),
        ("pool 0.5 0.5 0.2 0.4", "'pool'"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, reason: str) -> None:
    write_text(tmp_path / "labels" / "a.txt", LINE + line + "\n")
    with pytest.raises(LabelError, match=rf"a\.txt cannot be used.*line 2: .*{reason}") as caught:
        read_labels(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_among_the_labels_is_an_error_and_not_an_image_without_objects(
    tmp_path: Path,
) -> None:
    write_text(tmp_path / "labels" / "a.txt", LINE)
    write_text(tmp_path / "labels" / "b.txt", "pool here\n")
    with pytest.raises(LabelError, match=r"b\.txt cannot be used as a YOLO file: line 1"):
        read_labels(tmp_path)


def test_other_text_files_beside_the_labels_are_counted(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", LINE)
    write_text(tmp_path / "notes.txt", "seen in May\n")
    with pytest.warns(GeodetectWarning, match=r"1 text files are no labels of YOLO.*notes\.txt"):
        assert len(read_image_labels(tmp_path)) == 1
