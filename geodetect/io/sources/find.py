"""Rasters among files, folders, patterns of names, lists, catalogues and URLs."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import rasterio

from geodetect.errors import GeodetectWarning, InputError, RasterError, list_names
from geodetect.io.raster.dataset import gdal_options, open_dataset
from geodetect.io.raster.georeference import GDAL_ERRORS
from geodetect.io.sources.catalogues import is_file_path, read_catalogue
from geodetect.io.sources.remote_folders import is_remote_folder, list_remote_folder
from geodetect.redaction import redact
from geodetect.types import PathLike

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".cog")  # rasters, also where damaged
IMAGE_SUFFIXES = (*SUFFIXES, ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".bil", ".ecw", ".sid")
# parts of other rasters, such as world files
_PART = re.compile(
    r".*\.(aux\.xml|aux|ovr|msk|prj|rrd|hdr|stx|rpb|rpc|imd|lock|journal|wld|"
    r"([tjpgb]\w|tiff?|jpe?g|png|jp2|gif|bmp)w)",
    re.IGNORECASE,
)
# texts, labels and vector layers, which often lie beside imagery
_OTHER = re.compile(
    r".*\.(txt|csv|md|pdf|html|xml|json|geojsonl?|shp|shx|dbf|cpg|fgb|parquet|qml|qgs|qgz|"
    r"ya?ml|toml|log|py|safetensors)",
    re.IGNORECASE,
)


def find_rasters(
    sources: PathLike | Sequence[PathLike],
    *,
    pixel_coords: bool = False,
    quiet: bool = False,
    are_entries: bool = False,
) -> list[str]:
    """List files and URLs as they are, the rasters in folders and the entries of lists.

    Patterns of names such as ``sheets/*.tif``, which most shells expand, stand for their files.
    Text files with a path in each line, tile indexes of GDAL and STAC item collections stand for
    their entries, see ``read_catalogue``.

    In a folder, everything that GDAL opens as imagery is a raster. Images without a georeference,
    such as quicklooks, are left out if others have one. Labels, texts and vector layers beside the
    imagery are passed over without a word.

    Args:
        sources: One or several files, folders, lists, catalogues or URLs. An address that ends in
            ``/`` is a folder of object storage or of a web server that lists its files.
        pixel_coords: The georeference is not used.
        quiet: Do not warn.
        are_entries: They are the entries of a catalogue, so that none of them is one itself.

    Raises:
        InputError: A folder holds no raster, no file matches a pattern, or a list is empty or
            damaged.

    Warns:
        GeodetectWarning: Files of a folder are left out.
    """
    paths: list[str] = []
    names = [sources] if isinstance(sources, str | os.PathLike) else sources
    for source in (path for name in names for path in _expand_pattern(os.fspath(name))):
        if is_remote_folder(source):
            rasters, left_out = _find_remote(source)
        elif Path(source).is_dir():
            rasters, left_out = _list_folder(Path(source), pixel_coords=pixel_coords)
        else:
            entries = None if are_entries else read_catalogue(source)
            if entries is None:
                paths.append(os.fspath(source))
            else:
                paths += find_rasters(
                    entries, pixel_coords=pixel_coords, quiet=quiet, are_entries=True
                )
            continue
        if left_out and not quiet:
            warnings.warn(
                f"{redact(source)}: {len(rasters):,} rasters are read; left out: "
                f"{list_names(left_out)}",
                GeodetectWarning,
                stacklevel=2,
            )
        paths += rasters
    return paths


def _expand_pattern(name: str) -> list[str]:
    """Return the files that match a pattern in alphabetical order; other names as they are.

    Raises:
        InputError: No file matches.
    """
    if not is_file_path(name) or not glob.has_magic(name) or Path(name).exists():
        return [name]
    matches = sorted(glob.glob(name))  # noqa: PTH207 - Path.glob takes no absolute patterns
    paths = [path for path in matches if not _is_beside_imagery(Path(path))]
    folder = Path(name).parent
    if not paths and folder.is_dir():
        raise InputError(f"{name}: no raster matches this pattern; expected e.g. {folder}/*.tif")
    return paths or [name]


def _is_beside_imagery(path: Path) -> bool:
    """Return True for parts of other rasters, texts, labels and vector layers."""
    return bool(_PART.fullmatch(path.name) or _OTHER.fullmatch(path.name))


def without_repetitions(paths: Iterable[str]) -> list[str]:
    """Return paths without those of files that are named before, links included.

    Warns:
        GeodetectWarning: A file is named several times.
    """
    first_names: dict[object, str] = {}
    for path in paths:
        try:
            status = Path(path).stat()
            identity: object = (status.st_dev, status.st_ino)
        except (OSError, ValueError):  # a URL, or another name of GDAL
            identity = path
        if identity in first_names:
            first = first_names[identity]
            what = "is named twice" if first == path else f"is the same file as {first}"
            warnings.warn(f"{path} {what}; it is used once", GeodetectWarning, stacklevel=3)
        else:
            first_names[identity] = path
    return list(first_names.values())


def _list_folder(folder: Path, *, pixel_coords: bool) -> tuple[list[str], list[str]]:
    """Return the rasters of a folder, and the names of files that may be taken for some."""
    rasters, unplaced, left_out = list[str](), list[str](), list[str]()
    passed_over: list[str] = []
    try:
        with os.scandir(folder) as entries:  # no question to the system for each of many files
            is_folder = {e.name: e.is_dir() for e in entries if not e.name.startswith(".")}
    except OSError as error:
        raise InputError(f"{folder}: cannot list this folder ({error.strerror})") from error
    for name in sorted(is_folder):
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (Path takes ten times as long)
        if is_folder[name]:
            with suppress(OSError):  # a folder that may not be listed
                if any(p.suffix.lower() in IMAGE_SUFFIXES for p in (folder / name).iterdir()):
                    left_out.append(name + os.sep)
        elif suffix == ".vrt" and _is_mosaic(folder / name, is_folder):
            left_out.append(f"{name} (a mosaic of rasters of this folder)")
        elif suffix in SUFFIXES:
            rasters.append(name)
        elif _PART.fullmatch(name):
            continue
        elif _OTHER.fullmatch(name):
            passed_over.append(name)
        else:
            has_georeference = _has_georeference(folder / name)
            if has_georeference is None:
                left_out.append(name)
            elif has_georeference or pixel_coords:
                rasters.append(name)
            else:
                unplaced.append(name)
    if not rasters:
        rasters, unplaced = unplaced, []
    if not rasters:
        names = [*left_out, *passed_over]
        present = f"; found only {list_names(names)}" if names else ""
        raise InputError(
            f"{folder}: no raster in this folder; expected files that GDAL opens as "
            f"imagery{present}"
        )
    left_out += [f"{name} (no georeference)" for name in unplaced]
    start = str(folder / "x").removesuffix("x")
    return [start + name for name in rasters], left_out


def _find_remote(address: str) -> tuple[list[str], list[str]]:
    """Return the rasters of a folder on a server, and the names of files that may be some.

    They are told by their names: to open each would take too long.
    """
    files = [file for file in list_remote_folder(address) if not file.endswith("/")]
    candidates = [file for file in files if not _is_beside_imagery(Path(file))]
    suffixes = [suffix for suffix in SUFFIXES if suffix != ".vrt"]  # sources are not checked there
    rasters = [file for file in candidates if Path(file).suffix.lower() in suffixes]
    if not rasters:
        rasters = [f for f in candidates if Path(f).suffix.lower() in IMAGE_SUFFIXES]
    if not rasters:
        names = list_names(file.rpartition("/")[2] for file in files)
        raise InputError(
            f"{redact(address)}: no raster in this folder; expected files such as "
            f"{list_names(suffixes, limit=3)}" + (f"; found only {names}" if names else "")
        )
    is_read = set(rasters)
    return rasters, [file.rpartition("/")[2] for file in candidates if file not in is_read]


def _has_georeference(path: Path) -> bool | None:
    """Return True if a raster has a place on the map; None: GDAL does not open it as imagery."""
    try:
        with rasterio.Env(**gdal_options(str(path))), open_dataset(str(path)) as dataset:
            return bool(not dataset.transform.is_identity or dataset.gcps[0] or dataset.rpcs)
    except (RasterError, *GDAL_ERRORS):
        return None


def _is_mosaic(path: Path, names: Iterable[str]) -> bool:
    """Return True if a VRT is made of other files of its folder only, which are named."""
    try:
        with rasterio.Env(**gdal_options(str(path))), open_dataset(str(path)) as dataset:
            files = {Path(file).resolve() for file in dataset.files} - {path.resolve()}
    except (RasterError, *GDAL_ERRORS):
        return False
    return bool(files) and files <= {(path.parent / name).resolve() for name in names}
