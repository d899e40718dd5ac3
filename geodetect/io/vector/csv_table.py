"""Tables in CSV: encoding, delimiter, decimal commas, and points or polygons in their columns.

All values are read as texts: an image "007" and a class "NA" stay as they are written, which
neither ``pandas.read_csv`` nor GDAL does without a schema. The reader is that of Python's standard
library, as others take a file that ends within quotation marks or within a row.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, InputError, list_names
from geodetect.geo.crs import WGS84, parse_crs
from geodetect.io.vector.archive import open_text
from geodetect.io.vector.integrity import warn_of_last_line
from geodetect.types import AnyArray, FloatArray, IntArray

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BOMS = (  # that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    *((bom, "utf-32") for bom in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    *((bom, "utf-16") for bom in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # of fields that spreadsheets compute
_DELIMITERS = (",", ";", "\t", "|")
_HEAD = 65_536  # characters: the header lies within
_GAPS = ("", "na", "nan", "n/a", "null", "none")  # in columns of numbers
# Names without blanks, underscores and units in brackets, in lower case.
_GEOMETRY_NAMES = ("geometry", "wkt", "geom", "thegeom", "wktgeom", "wkbgeometry", "geog", "shape")
_LON_NAMES = ("lon", "longitude", "long", "lng", "londeg", "longitudedeg")
_LAT_NAMES = ("lat", "latitude", "latdeg", "latitudedeg")
_X_NAMES = ("x", "easting", "east", "xcoord", "coordx", "pointx", "xcoordinate", "centroidx", "e")
_Y_NAMES = ("y", "northing", "north", "ycoord", "coordy", "pointy", "ycoordinate", "centroidy", "n")
_BOX_NAMES = (CORNERS, ("minx", "miny", "maxx", "maxy"), ("left", "bottom", "right", "top"))
_SRID = re.compile(r"^\s*SRID=(\d+);", re.IGNORECASE)
_WKT = re.compile(
    r"\s*(SRID=\d+;)?\s*(MULTI)?(POINT|LINESTRING|POLYGON|CURVE|SURFACE|GEOMETRYCOLLECTION|"
    r"CURVEPOLYGON|CIRCULARSTRING|COMPOUNDCURVE)\b",
    re.IGNORECASE,
)
_HEX_WKB = re.compile(r"0[01][0-9a-f]{16,}", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class CsvTable:
    """Rows of a CSV file, as texts.

    Args:
        name: The file, for messages.
        rows: Columns of texts without blanks around them; None where a field is empty.
        lines: ``int64[N]`` line of the file that each row ends in, counted from 1.
        delimiter: Character between fields.
    """

    name: str
    rows: pd.DataFrame
    lines: IntArray
    delimiter: str = ","

    def find_column(self, *names: str) -> str | None:
        """Return the first column with one of these names, whatever its case and blanks.

        Raises:
            InputError: Several columns have the name.
        """
        simple = [_simplify(str(column)) for column in self.rows.columns]
        for name in names:
            positions = [i for i, text in enumerate(simple) if text == _simplify(name)]
            if len(positions) > 1:
                columns = list_names(self.rows.columns[i] for i in positions)
                raise InputError(f"{self.name} has several columns {name} ({columns}); rename one")
            if positions:
                return str(self.rows.columns[positions[0]])
        return None

    def numbers(self, column: str) -> FloatArray:
        """Return a column as numbers, ``float64[N]``; NaN where a field is empty.

        Raises:
            InputError: A field holds no number.
        """
        texts = self.rows[column].fillna("").astype(str)
        values = np.array(pd.to_numeric(texts, errors="coerce"), dtype=np.float64)
        for row in np.flatnonzero(~np.isfinite(values)):
            text = texts.iloc[row]
            if text.casefold() in _GAPS:
                continue
            is_decimal = "," in text and "." not in text and self._has_decimal_comma(text)
            try:
                values[row] = float(text.replace(",", ".") if is_decimal else text)
                if not np.isfinite(values[row]):
                    raise ValueError(text)
            except ValueError as error:
                raise InputError(
                    f"{self.name}: line {self.lines[row]:,} has {text[:40]!r} in column "
                    f"{column!r}; expected a number such as 1234.5"
                ) from error
        return values

    def _has_decimal_comma(self, text: str) -> bool:
        """Return False for one that may as well separate thousands, as in 500,123."""
        return self.delimiter != "," or re.fullmatch(r"[+-]?\d{1,3},\d{3}", text) is None


def is_csv(path: Path) -> bool:
    """Return True if the suffix of a file is that of a text table, compressed or not."""
    return path.name.lower().endswith((*CSV_SUFFIXES, *(f"{s}.gz" for s in CSV_SUFFIXES)))


def read_csv_columns(head: str) -> list[str]:
    """Return the names of the columns, simplified, from the beginning of a text file."""
    lines = [line for line in head.lstrip("\ufeff").splitlines() if line.strip()][:1]
    names = next(csv.reader(lines, delimiter=_choose_delimiter("".join(lines))), [])
    return [_simplify(name) for name in names]


def read_csv_table(path: Path) -> CsvTable:
    """Read a CSV file with any delimiter, in UTF-8, UTF-16 or Windows-1252.

    Args:
        path: The file; a ``.gz`` is decompressed.

    Raises:
        InputError: It has no header, or a row that is cut short or does not fit the header.
    """
    text = _decode(path)
    first = next((line for line in text[:_HEAD].splitlines() if line.strip()), "")
    if first.lower().startswith("sep=") and len(first) == 5:  # a line that Excel understands
        delimiter = first[4]
        text = text[text.index(first) + len(first) :].lstrip("\r\n")
        skipped = 1
    else:
        delimiter, skipped = _choose_delimiter(first), 0
    limit = csv.field_size_limit(max(len(text), 1))  # outlines are long; its default is 131 kB
    try:
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
        )
        rows = [(reader.line_num + skipped, row) for row in reader if len(row) > 1 or "".join(row)]
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.line_num + skipped:,} is damaged or cut short ({error})"
        ) from error
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise InputError(f"{path} is empty; expected a first row with the names of the columns")
    header = [_field_text(name) for name in rows[0][1]]
    n_columns = len(header)
    while n_columns and not header[n_columns - 1]:
        n_columns -= 1  # a delimiter at the end of each line
    fields: list[list[str | None]] = []
    for line, row in rows[1:]:
        values = [_field_text(value) or None for value in row]
        if len(values) < n_columns or any(values[n_columns:]):
            raise InputError(
                f"{path}: line {line:,} has {len(values):,} fields, the header {n_columns:,}; "
                f"the file is damaged or cut short, or a field with {delimiter!r} lacks quotes"
            )
        fields.append(values[:n_columns])
    table = pd.DataFrame(fields, columns=pd.Index(header[:n_columns], dtype=object), dtype=object)
    lines = np.array([line for line, _ in rows[1:]], np.int64)
    if len(lines) and not text.endswith(("\n", "\r")):
        warn_of_last_line(path, len(table), int(lines[-1]))
    return CsvTable(str(path), table, lines, delimiter)


def _field_text(field: str) -> str:
    """Return a field without blanks, and without the apostrophe that our writer puts first."""
    text = field.strip()
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA_STARTS) else text


def read_csv_layer(path: Path, *, prefer_xy: bool = False) -> gpd.GeoDataFrame:
    """Read a CSV file whose columns hold geometries.

    They are, in this order: outlines in WKT, hexadecimal WKB or GeoJSON; ``lon`` and ``lat``; ``x``
    and ``y``; ``xmin, ymin, xmax, ymax``; with the names other programs use, in any case.

    Args:
        path: The file.
        prefer_xy: Use ``x`` and ``y`` before ``lon`` and ``lat``.

    Returns:
        All columns but those of the geometry, as texts. The CRS is WGS 84 for ``lon`` and ``lat``,
        that of an SRID in EWKT, and else None.

    Raises:
        InputError: It cannot be read, or has no such columns.
    """
    table = read_csv_table(path)
    column = next(
        (c for c in map(table.find_column, _GEOMETRY_NAMES) if c and holds_outlines(table, c)),
        next((str(c) for c in table.rows.columns if holds_outlines(table, str(c))), None),
    )
    if column is not None:
        geometry, crs = parse_outlines(table, column)
        return gpd.GeoDataFrame(table.rows.drop(columns=column), geometry=geometry, crs=crs)
    lonlat = table.find_column(*_LON_NAMES), table.find_column(*_LAT_NAMES)
    xy = table.find_column(*_X_NAMES), table.find_column(*_Y_NAMES)
    crs = WGS84
    if None in lonlat or (prefer_xy and None not in xy):
        lonlat, crs = xy, None
    if lonlat[0] is not None and lonlat[1] is not None:
        points = np.stack([table.numbers(lonlat[0]), table.numbers(lonlat[1])], axis=1)
        has_both = np.isfinite(points).all(axis=1)
        geometry = np.full(len(points), None, dtype=object)
        geometry[has_both] = shapely.points(points[has_both])
        return gpd.GeoDataFrame(table.rows, geometry=geometry, crs=crs)
    for names in _BOX_NAMES:
        corners = [c for c in map(table.find_column, names) if c is not None]
        if len(corners) == 4:
            boxes = np.stack([table.numbers(corner) for corner in corners], axis=1)
            geometry = np.full(len(boxes), None, dtype=object)
            is_whole = np.isfinite(boxes).all(axis=1)
            geometry[is_whole] = shapely.box(*boxes[is_whole].T)
            return gpd.GeoDataFrame(table.rows, geometry=geometry, crs=None)
    raise InputError(
        f"{path} has no geometries: its columns are {list_names(table.rows.columns) or '(none)'}; "
        f"expected x and y, lon and lat, xmin, ymin, xmax and ymax, or outlines in WKT in a "
        f"column 'geometry'"
    )


def _decode(path: Path) -> str:
    """Return the text of a file."""
    with open_text(path) as stream:
        data = stream.read()
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    head = data[:200]
    if encoding == "utf-8" and head.count(0) > len(head) / 4:  # UTF-16 without a byte order mark
        encoding = "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if not encoding.startswith("utf-8"):
            raise InputError(f"{path} is damaged or cut short: no {encoding} ({error})") from error
        text = data.decode("cp1252", errors="replace")
        warnings.warn(
            f"{path} is not in UTF-8; read as Windows-1252", GeodetectWarning, stacklevel=2
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}: line {line:,} holds null characters; the file is damaged")
    return text


def _choose_delimiter(header: str) -> str:
    """Return the delimiter that occurs most in the header, outside of quotation marks."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=unquoted.count)


def _simplify(name: str) -> str:
    """Return a name in lower case, without blanks, underscores, hyphens and units in brackets."""
    return re.sub(r"[\[(][^\[\]()]*[\])]|[\s_\-.\ufeff\u200b]", "", name).casefold()


def holds_outlines(table: CsvTable, column: str) -> bool:
    """Return True if the first value of a column is WKT, EWKT, hexadecimal WKB or GeoJSON."""
    values = table.rows[column]
    first = next((value for value in values if value), "") if values.ndim == 1 else ""
    return bool(_WKT.match(first) or _HEX_WKB.fullmatch(first) or first.startswith('{"'))


def parse_outlines(table: CsvTable, column: str) -> tuple[AnyArray, CRS | None]:
    """Return the geometries of a column of WKT, EWKT, hexadecimal WKB or GeoJSON, and its CRS."""
    texts = table.rows[column].fillna("").astype(str)
    is_gap = np.asarray(texts.str.casefold().isin(_GAPS))
    first = next(iter(texts[~is_gap]), "")
    srids: set[int] = set()
    if _HEX_WKB.fullmatch(first):
        geometry = shapely.from_wkb(
            np.asarray(texts.astype(object).where(~is_gap, None)), on_invalid="ignore"
        )
        srids.update(map(int, np.unique(shapely.get_srid(geometry[~is_gap]))))
    else:
        codes = texts.str.extract(_SRID)[0]
        srids.update(map(int, codes.dropna().unique()))
        parse = shapely.from_geojson if first.startswith("{") else shapely.from_wkt
        plain = np.asarray(
            texts.str.replace(_SRID, "", regex=True).astype(object).where(~is_gap, None)
        )
        geometry = parse(plain, on_invalid="ignore")
    is_damaged = shapely.is_missing(geometry) & ~is_gap
    if is_damaged.any():
        row = int(np.flatnonzero(is_damaged)[0])
        raise InputError(
            f"{table.name}: line {table.lines[row]:,} has {texts.iloc[row][:40]!r} in column "
            f"{column!r}; expected a geometry in WKT"
        )
    srids -= {0, -1}
    if len(srids) > 1:
        names = list_names(f"EPSG:{code}" for code in sorted(srids))
        raise InputError(f"{table.name} has geometries in several CRS: {names}; expected one")
    return geometry, parse_crs(f"EPSG:{srids.pop()}") if srids else None
