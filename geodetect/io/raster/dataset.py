"""GDAL datasets: opening, configuration options, and errors on one line."""

from __future__ import annotations

import math
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import rasterio
from rasterio.env import ensure_env_with_credentials
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from geodetect.errors import RasterError, error_text, translate_errors
from geodetect.io.raster.georeference import GDAL_ERRORS
from geodetect.io.raster.remote import (
    http_limits,
    http_options,
    is_remote,
    read_from_server,
)
from geodetect.io.untrusted.raster_files import (
    check_overview_file,
    check_side_files,
    check_vrt,
    is_in_large_folder,
    is_vrt,
)

T = TypeVar("T")
VRT_SUFFIX = ".vrt"
NETWORK_FILE_SYSTEMS = "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/:/vsiadls/:/vsioss/:/vsiswift/"
VRT_BLOCK = re.compile(r'BlockXSize="(\d+)" BlockYSize="(\d+)"')  # of the sources of a VRT
BLOCK_CACHE_BYTES = 256 * 1024**2  # rasterio passes bytes on, where GDAL itself takes megabytes
# Drivers of GDAL that read the file they are given, and files of its name beside it. Others follow
# names and addresses in the file: VRT (allowed once its sources are checked), GTI, WMS, WMTS, WCS,
# STACIT, MRF, KMLSUPEROVERLAY, ERS, PDS4, PCIDSK, DIMAP, NITF (overviews beside it, of any format),
# HDF5 and netCDF (external links) and more.
DRIVERS = (
    *("GTiff", "LIBERTIFF", "COG", "JPEG", "PNG", "GIF", "BIGGIF", "BMP", "WEBP", "JPEGXL", "AVIF"),
    *("HEIF", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "JP2Lura", "ECW", "MrSID", "HFA"),
    *("GPKG", "MBTiles", "ENVI", "EHdr", "AAIGrid", "GSBG", "GS7BG", "SAGA", "RST", "PNM"),
    *("RMF", "BSB", "SGI", "USGSDEM", "DTED", "SRTMHGT", "GRIB"),
)
# the user asks for a web service by the name of its file, or by a connection string
SERVICES = ("WMS", "WMTS")
SERVICE_NAMES = (".xml", ".wms", ".tms", ".wmts")
# GDAL's archives and other file systems, whose side files are not read, but its memory
ARCHIVE = re.compile(r"/vsi(?!mem/)|[a-z+]+://", re.IGNORECASE)
SIDE_FILES = (".msk", ".aux.xml")  # those that decide which pixels count, and their place
SIDE_FILE_TIMEOUT_S, RESET_TIMEOUT_S = 5, 2
SERVICE_PREFIXES = ("WMS:", "WMTS:", "<GDAL_WM")
THIS_MODULE = re.escape(__name__) + "$"
NO_GEOREFERENCE = ("ignore", None, NotGeoreferencedWarning, re.compile(THIS_MODULE), 0)  # a filter


def open_dataset(
    path: str, *, external_sources: bool = False, overviews: bool = True, **options: Any
) -> Any:
    """Open a rasterio dataset.

    Args:
        path: File, URL or anything GDAL opens.
        external_sources: Use all drivers of GDAL, and follow all names of files and servers in the
            file. Else only images are opened, and VRTs of images beside or below them.
        overviews: Read from overviews where their resolution is enough.
        options: More options for opening.

    Raises:
        RasterError: It cannot be opened, holds no bands, or refers to files elsewhere.
    """
    if not overviews:
        options["overview_level"] = "NONE"
    try:
        dataset = _open(path, None, options) if external_sources else _open_checked(path, options)
    except UnicodeEncodeError as error:
        raise RasterError(
            f"{path}: its name is not in UTF-8, as GDAL needs it; rename it"
        ) from error
    except UnicodeDecodeError as error:
        raise RasterError(
            f"{path}: the name of its CRS is not in UTF-8; state the CRS anew, as "
            f"gdal_edit.py -a_srs EPSG:CODE does"
        ) from error
    except GDAL_ERRORS as error:
        if not is_remote(path) and not path.startswith("/vsi") and not Path(path).exists():
            raise RasterError(f"{path}: no such file") from error
        if Path(path).is_dir():
            raise RasterError(f"{path} is a folder; expected the name of one raster") from error
        cause, hint = root_cause(error), ""
        if "not recognized" in cause and not external_sources:
            hint = "; set `external_sources` for a format that refers to other files or servers"
        raise RasterError(f"{path}: not a raster that GDAL can open ({cause}){hint}") from error
    if is_remote(path) and "overview_level" not in options:
        _scan_directories(path, dataset.driver)
    if dataset.count == 0:
        subdatasets = dataset.subdatasets
        dataset.close()
        hint = f"; name one of its subdatasets, e.g. {subdatasets[0]}" if subdatasets else ""
        raise RasterError(f"{path}: holds no raster bands{hint}")
    return dataset


def read_dataset(path: str, read: Callable[[Any], T], *, external_sources: bool = False) -> T:
    """Open a dataset, read from it, and close it; of a server, again if a request fails.

    Args:
        path: File, URL or anything GDAL opens.
        read: Takes the open dataset; what it returns is returned.
        external_sources: As for ``open_dataset``.

    Raises:
        RasterError: It cannot be opened or read.
        GeodetectError: As ``read`` raises it.
    """

    def read_once() -> T:
        with (
            rasterio.Env(**gdal_options(path)),
            open_dataset(path, external_sources=external_sources) as dataset,
            translate_metadata_errors(path),
        ):
            return read(dataset)

    if Path(path).is_file() and not path.lower().endswith((VRT_SUFFIX, *SERVICE_NAMES)):
        return read_once()
    return read_from_server(
        read_once,
        partial(forget_requests, [path]),
        path=path,
        subject="its header",
        is_certain=is_remote(path),
        is_opening=True,
    )


def _scan_directories(path: str, driver: str) -> None:
    """Have GDAL look for overviews and masks, and remember what it reads.

    rasterio opens and reads datasets without Python's lock, but asks for their overviews and masks
    with it. A server that does not answer would then stop all threads, and Ctrl-C, too.
    """
    with suppress(*GDAL_ERRORS):  # there are no overviews
        _open(path, [driver], {"overview_level": 0}).close()


def forget_requests(paths: Iterable[str]) -> None:
    """Have GDAL forget what it read of files on servers, which may be incomplete."""
    # a server that stalls has cost enough time; only what GDAL still has to ask for is limited
    limits = http_limits(RESET_TIMEOUT_S)
    with rasterio.Env(CPL_VSIL_CURL_NON_CACHED=NETWORK_FILE_SYSTEMS, **limits):
        for path in filter(is_remote, paths):
            with suppress(*GDAL_ERRORS):
                _open(path, DRIVERS, {}).close()


def find_side_files(path: str, *, world_files: bool) -> list[str]:
    """Find what a server has beside a raster; GDAL is told not to look for it.

    All names are asked for at once, for a limited time, as the answer is but a warning.

    Args:
        path: Address of the raster, without a query.
        world_files: Look for world files, too, which decide where the raster has no georeference.

    Returns:
        Their addresses; none of a server that answers with a page for whatever it does not have.
    """
    stem, _, letters = path.rpartition(".")
    names = [f"{path}{ending}" for ending in SIDE_FILES]
    if world_files:
        endings = (f"{letters[:1]}{letters[-1:]}w", f"{letters}w", "wld")
        names += [f"{stem}.{ending}" for ending in endings]
    answers: dict[str, str] = {}

    def ask(name: str) -> None:
        with rasterio.Env(**gdal_options(path) | http_limits(SIDE_FILE_TIMEOUT_S)):
            try:
                _open(name, ["GTiff"], {}).close()
                answers[name] = "raster"
            except GDAL_ERRORS as error:
                answers[name] = "text" if "not recognized" in root_cause(error) else ""

    threads = [Thread(target=ask, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    end = time.monotonic() + SIDE_FILE_TIMEOUT_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if answers.get(names[0]) == "text":  # a mask is a TIFF file
        return []
    return [name for name in names if answers.get(name)]


def source_files(
    dataset: Any, *, external_sources: bool, known_files: frozenset[str] = frozenset()
) -> set[str]:
    """Return all files that are read; a VRT may have another one as its source."""
    files = {str(file) for file in dataset.files or [dataset.name]} - known_files
    for file in tuple(files):
        if file.lower().endswith(VRT_SUFFIX) and file != dataset.name:
            with (
                suppress(RasterError),  # reading raises it again
                open_dataset(file, external_sources=external_sources) as source,
            ):
                files |= source_files(
                    source, external_sources=external_sources, known_files=known_files | files
                )
    return files


def largest_block(dataset: Any) -> tuple[int, int]:
    """Return width and height of the largest block that is decoded as a whole.

    A VRT has blocks of its own, but has those of its sources decoded, which its file names.
    """
    shapes = {(width, height) for height, width in dataset.block_shapes}
    if dataset.driver == "VRT" and Path(dataset.name).is_file():
        text = Path(dataset.name).read_text(encoding="utf-8", errors="replace")
        shapes |= {(int(match[1]), int(match[2])) for match in VRT_BLOCK.finditer(text)}
    return max(shapes, key=math.prod)


def gdal_options(
    path: str, *, cache_bytes: int = BLOCK_CACHE_BYTES, asks_servers: bool = True
) -> dict[str, Any]:
    """Return GDAL options for reading: a bounded block cache, and how servers are asked.

    A block cache and time limits that the user has set in the environment stay.

    Args:
        path: File, URL or anything GDAL opens.
        cache_bytes: Size of the block cache, which all datasets share.
        asks_servers: The file may be read from servers, or refer to files there.
    """
    options: dict[str, Any] = {}
    if "GDAL_CACHEMAX" not in os.environ:
        options["GDAL_CACHEMAX"] = cache_bytes
    if asks_servers:
        options |= http_options()
    if is_remote(path):
        options |= {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "VSI_CACHE": True}
    elif ARCHIVE.match(path):  # GDAL would open overviews beside it unchecked
        options |= {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    elif is_in_large_folder(path):
        options |= {"GDAL_DISABLE_READDIR_ON_OPEN": True}
    return options


@contextmanager
def translate_metadata_errors(path: str) -> Iterator[None]:
    """Raise errors at metadata of an open dataset as ``RasterError``, on one line.

    rasterio raises errors of any class for metadata that are damaged, or that it does not know.
    """
    with translate_errors(f"{path}: its metadata cannot be used", RasterError):
        try:
            yield
        except GDAL_ERRORS as error:
            raise RasterError(f"{path}: {root_cause(error)}") from error


def root_cause(error: BaseException) -> str:
    """Return GDAL's message, the first of a chain of errors, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error_text(error)


def _open_checked(path: str, options: dict[str, Any]) -> Any:
    """Open a file that may come from a stranger."""
    if is_remote(path) or ARCHIVE.match(path):
        if path.partition("?")[0].lower().endswith(VRT_SUFFIX):
            raise RasterError(
                f"{path}: the sources of a VRT on a server or in an archive are not checked; set "
                f"`external_sources` to open it if you trust it"
            )
    else:
        check_side_files(path)
    if ":" in path and Path(path).exists():  # a file name such as "WMS:x.tif" is no address
        path = str(Path(path).absolute())
    drivers = list(DRIVERS)
    if path.startswith(SERVICE_PREFIXES) or path.lower().endswith(SERVICE_NAMES):
        drivers += SERVICES
    if path.lower().endswith(VRT_SUFFIX) and is_vrt(path):
        return _open_vrt(path, options)
    try:
        dataset = _open(path, drivers, options)
    except GDAL_ERRORS:
        if not is_vrt(path):
            raise
        return _open_vrt(path, options)
    # before GDAL looks for overviews, which it does not do to open a file
    names = {key.upper(): name for key, name in dataset.tags(ns="OVERVIEWS").items()}
    if "OVERVIEW_FILE" in names:
        try:
            check_overview_file(path, names["OVERVIEW_FILE"])
        except RasterError:
            dataset.close()
            raise
    return dataset


def _open_vrt(path: str, options: dict[str, Any]) -> Any:
    check_vrt(path)
    return _open(path, ["VRT"], options)


# as rasterio.open, which takes no list of drivers
@ensure_env_with_credentials  # type: ignore[untyped-decorator]
def _open(path: str, drivers: Sequence[str] | None, options: dict[str, Any]) -> Any:
    _ignore_missing_georeference()
    return DatasetReader(path, driver=drivers, sharing=False, **options)


def _ignore_missing_georeference() -> None:
    """Have Python ignore rasterio's warning about rasters without georeference, opened here.

    The filter stays. ``warnings.catch_warnings`` would take it back, but it restores the filters of
    the whole process, and so takes warnings away from a thread that has begun to record them.
    """
    if warnings.filters[:1] != [NO_GEOREFERENCE]:
        warnings.filterwarnings("ignore", category=NotGeoreferencedWarning, module=THIS_MODULE)
