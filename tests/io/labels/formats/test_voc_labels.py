"""XML files: Pascal VOC as tools write it, and CVAT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodetect.errors import GeodetectWarning, LabelError
from geodetect.io.labels.read import read_labels
from tests.helpers.label_files import all_boxes, read_image_labels, write_text

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"


def write_voc(path: Path, *parts: str, head: str = "", declaration: str = "") -> Path:
    objects = "".join(f"<object><name>pool</name>{part}</object>" for part in parts)
    return write_text(path, f"{declaration}<annotation>{head}{objects}</annotation>")


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("images/a.jpg", "a.jpg"),
        ("../../a.jpg", "a.jpg"),
        ("/data/images/a.jpg", "a.jpg"),
        ("C:\\images\\a.jpg", "a.jpg"),
        ("  ", "b.xml"),
        ("", "b.xml"),
    ],
)
def test_the_image_is_the_last_part_of_its_file_name_or_named_as_the_file(
    tmp_path: Path, filename: str, name: str
) -> None:
    write_voc(tmp_path / "Annotations" / "b.xml", BOX, head=f"<filename>{filename}</filename>")
    labels = read_image_labels(tmp_path)
    assert [image.name for image in labels.images] == [f"Annotations/{name}"]
    assert all_boxes(labels) == [[1, 2, 30, 40]]


@pytest.mark.parametrize(
    ("part", "box"),
    [
        (BOX.replace(">30<", ">30.5<"), [1, 2, 30.5, 40]),
        (
            "<robndbox><cx>50</cx><cy>40</cy><w>40</w><h>10</h><angle>1.5707963267948966</angle>"
            "</robndbox>",
            [45, 20, 55, 60],
        ),
        (
            "<robndbox><cx>50</cx><cy>40</cy><w>40</w><h>10</h><angle>0.7853981633974483</angle>"
            "</robndbox>",
            [32.32233, 22.32233, 67.67767, 57.67767],
        ),
        (
            "<polygon><x1>3</x1><y1>4</y1><x2>9</x2><y2>5</y2><x3>6</x3><y3>30</y3></polygon>",
            [3, 4, 9, 30],
        ),
        (
            "<polygon><username>x</username><pt><x>3</x><y>4</y></pt><pt><x>9</x><y>5</y></pt>"
            "<pt><x>6</x><y>30</y></pt></polygon>",
            [3, 4, 9, 30],
        ),
    ],
)
def test_an_object_may_have_decimals_a_rotated_box_or_an_outline(
    tmp_path: Path, part: str, box: list[float]
) -> None:
    np.testing.assert_allclose(
        all_boxes(read_image_labels(write_voc(tmp_path / "a.xml", part))), [box], atol=1e-5
    )


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("", "bndbox is missing"),
        (BOX.replace("<xmax>30</xmax>", ""), "xmax is missing"),
        (BOX.replace("30", "wide"), "'wide'"),
        (BOX.replace("30", "1,5"), "'1,5'"),
        ("<polygon><x1>3</x1><y1>4</y1></polygon>", "its polygon has 2 numbers"),
    ],
)
def test_an_object_that_cannot_be_used_is_named(tmp_path: Path, part: str, reason: str) -> None:
    path = write_voc(tmp_path / "a.xml", BOX, part)
    with pytest.raises(
        LabelError, match=rf"a\.xml cannot.*object 2 \(pool\): .*{reason}"
    ) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["inf", "nan", "1e300"])
def test_coordinates_that_are_no_positions_are_an_error(tmp_path: Path, number: str) -> None:
    with pytest.raises(LabelError, match=r"boxes of a\.xml are not all numbers of pixels"):
        read_labels(write_voc(tmp_path / "a.xml", BOX.replace("40", number)))


@pytest.mark.parametrize(
    ("declaration", "reason"),
    [("<?xml version='1.0' encoding='klingon'?>", "unknown encoding"), ("<<", "not well-formed")],
)
def test_a_file_that_is_no_xml_is_one_line(tmp_path: Path, declaration: str, reason: str) -> None:
    path = write_voc(tmp_path / "a.xml", BOX, declaration=declaration)
    with pytest.raises(LabelError, match=rf"a\.xml cannot be used as .*{reason}") as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)


def test_a_file_in_utf_16_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    text = f"<?xml version='1.0' encoding='utf-16'?><annotation><object><name>Bécken</name>{BOX}"
    write_text(path, (text + "</object></annotation>").encode("utf-16"))
    assert list(read_image_labels(tmp_path).names) == ["Bécken"]


def test_the_objects_of_several_files_for_an_image_are_joined(tmp_path: Path) -> None:
    head = "<filename>a.jpg</filename>"
    write_voc(tmp_path / "pools.xml", BOX, head=head)
    write_voc(tmp_path / "trees.xml", BOX.replace(">1<", ">5<"), head=head)
    with pytest.warns(GeodetectWarning, match=r"a\.jpg is described by several files \(pools\.xml"):
        labels = read_image_labels(tmp_path)
    assert [image.boxes.tolist() for image in labels.images] == [[[1, 2, 30, 40], [5, 2, 30, 40]]]


def test_an_image_of_two_sizes_is_an_error(tmp_path: Path) -> None:
    size = "<filename>a.jpg</filename><size><width>{}</width><height>9</height></size>"
    write_voc(tmp_path / "a.xml", BOX, head=size.format(8))
    write_voc(tmp_path / "b.xml", BOX, head=size.format(9))
    with pytest.raises(LabelError, match=r"b\.xml cannot.*a\.jpg has 9 x 9 px"):
        read_labels(tmp_path)


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width/><height/></size>"])
def test_the_size_of_the_image_may_be_missing(tmp_path: Path, size: str) -> None:
    (image,) = read_image_labels(write_voc(tmp_path / "a.xml", BOX, head=size)).images
    assert image.size is None


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta/>
<image id="0" name="sub/a.png" width="100" height="80">{}</image>
<image id="1" name="b.png" width="100" height="80"></image></annotations>"""


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('<box label="pool" xtl="1" ytl="2" xbr="30.5" ybr="40"/>', [1, 2, 30.5, 40]),
        (
            '<box label="pool" xtl="30" ytl="35" xbr="70" ybr="45" rotation="90"/>',
            [45, 20, 55, 60],
        ),
        ('<polygon label="pool" points="3,4;9,5;6,30"/>', [3, 4, 9, 30]),
        ('<ellipse label="pool" cx="50" cy="40" rx="20" ry="5"/>', [30, 35, 70, 45]),
        (
            '<ellipse label="pool" cx="50" cy="40" rx="20" ry="5" rotation="90"/>',
            [45, 20, 55, 60],
        ),
        ('<mask label="pool" rle="1" left="3" top="4" width="5" height="6"/>', [3, 4, 8, 10]),
    ],
)
@pytest.mark.parametrize("in_folder", [True, False])
def test_the_shapes_of_cvat_have_bounds(
    tmp_path: Path, shape: str, box: list[float], in_folder: bool
) -> None:
    path = write_text(tmp_path / "annotations.xml", CVAT.format(shape))
    labels = read_image_labels(tmp_path if in_folder else path)
    np.testing.assert_allclose(all_boxes(labels), [box], atol=1e-9)
    assert [(image.name, image.size) for image in labels.images] == [
        ("sub/a.png", (100, 80)),
        ("b.png", (100, 80)),
    ]
    assert list(labels.names) == ["pool"]


def test_points_and_lines_of_cvat_are_left_out_and_counted(tmp_path: Path) -> None:
    shapes = '<points label="pool" points="1,2"/><polyline label="pool" points="1,2;3,4"/>'
    labels = read_image_labels(write_text(tmp_path / "a.xml", CVAT.format(shapes)))
    assert str(labels.report) == "2 rows of labels: 2 that are points or lines left out"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CVAT.format('<box label="pool" xtl="1"/>'), "object 1, on sub/a.png: 'ytl' is missing"),
        ("<annotations><meta/></annotations>", "no image; expected images with box"),
        ("<annotations><track/></annotations>", "layout for video, which is not read; export"),
    ],
)
def test_a_file_of_cvat_that_cannot_be_used_is_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(LabelError, match=reason):
        read_labels(write_text(tmp_path / "a.xml", text))


def test_tags_may_have_a_namespace(tmp_path: Path) -> None:
    path = write_voc(tmp_path / "a.xml", BOX)
    text = path.read_text().replace("<annotation>", '<annotation xmlns="https://example.org/v">')
    assert all_boxes(read_image_labels(write_text(path, text))) == [[1, 2, 30, 40]]
