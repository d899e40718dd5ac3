"""Files in disguise: their names are those of imagery or layers, their content leads elsewhere."""

from __future__ import annotations

import json
import sqlite3
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine

SIDE, BAIT_PIXEL, BAIT_TEXT = 64, 77, "B41T"
TRANSFORM = Affine(0.2, 0, 700_000, 0, -0.2, 6_600_000)

# folder of the stranger, file outside it, address of a server; returns the file to read
Disguise = Callable[[Path, Path, str], Path]


def write_image(
    path: Path, value: int = 9, driver: str = "GTiff", overviews: str | None = None
) -> Path:
    with (
        warnings.catch_warnings(action="ignore"),
        rasterio.open(
            path, "w", driver=driver, width=SIDE, height=SIDE, count=3, dtype="uint8",
            crs="EPSG:2154", transform=TRANSFORM,
        ) as dataset,
    ):  # fmt: skip
        dataset.write(np.full((3, SIDE, SIDE), value, np.uint8))
        if overviews is not None:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=overviews)
    return path


def vrt(source: str, *, relative: bool = False, size: int = SIDE, more: str = "") -> str:
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{relative:d}">{source}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    return (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>EPSG:2154</SRS>'
        f"<GeoTransform>700000, 0.2, 0, 6600000, 0, -0.2</GeoTransform>{bands}{more}</VRTDataset>"
    )


def raw_vrt(source: str, kind: str = "VRTRawRasterBand", name: str = "SourceFilename") -> str:
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><VRTRasterBand dataType="Byte" '
        f'band="1" subClass="{kind}"><{name} relativetoVRT="0">{source}</{name}>'
        f"<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>{SIDE}</LineOffset>"
        f"</VRTRasterBand></VRTDataset>"
    )


def warped_vrt(source: str) -> str:
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}" subClass="VRTWarpedDataset">'
        f'<VRTRasterBand dataType="Byte" band="1" subClass="VRTWarpedRasterBand"/>'
        f'<GDALWarpOptions><SourceDataset relativeToVRT="0">{source}</SourceDataset>'
        f"</GDALWarpOptions></VRTDataset>"
    )


def tile_service(url: str) -> str:
    return (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{url}/${{z}}/${{x}}/${{y}}.png</ServerUrl>'
        f"</Service><DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>{SIDE}</UpperLeftY>"
        f"<LowerRightX>{SIDE}</LowerRightX><LowerRightY>0</LowerRightY><SizeX>{SIDE}</SizeX>"
        f"<SizeY>{SIDE}</SizeY><TileLevel>0</TileLevel><YOrigin>top</YOrigin></DataWindow>"
        f"<Projection>EPSG:2154</Projection><BlockSizeX>{SIDE}</BlockSizeX>"
        f"<BlockSizeY>{SIDE}</BlockSizeY><BandsCount>3</BandsCount></GDAL_WMS>"
    )


def _written(name: str, content: Callable[[Path, Path, str], str]) -> Disguise:
    def write(folder: Path, bait: Path, url: str) -> Path:
        path = folder / name
        path.write_text(content(folder, bait, url))
        return path

    return write


def _beside(
    suffix: str, content: Callable[[Path, str], str], name: str = "scene.tif", driver: str = "GTiff"
) -> Disguise:
    """An image with a side file."""

    def write(folder: Path, bait: Path, url: str) -> Path:
        path = write_image(folder / name, driver=driver)
        Path(f"{path}{suffix}").write_text(content(bait, url))
        return path

    return write


def _vrt_of(name: str, content: Callable[[Path, str], str]) -> Disguise:
    """A VRT of a file beside it that is no image."""

    def write(folder: Path, bait: Path, url: str) -> Path:
        (folder / name).write_text(content(bait, url))
        path = folder / "scene.vrt"
        path.write_text(vrt(name, relative=True))
        return path

    return write


def _aux(name: str) -> str:
    return (
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{name}</MDI>'
        f"</Metadata></PAMDataset>"
    )


def _linked_source(folder: Path, bait: Path, url: str) -> Path:
    (folder / "inside.tif").symlink_to(bait)
    path = folder / "scene.vrt"
    path.write_text(vrt("inside.tif", relative=True))
    return path


def _vrt_of_overviews(folder: Path, bait: Path, url: str) -> Path:
    write_image(folder / "inside.tif", overviews=str(bait))
    path = folder / "scene.vrt"
    path.write_text(vrt("inside.tif", relative=True))
    return path


def _archived(member: str, content: Callable[[Path, str], str], prefix: str) -> Disguise:
    def write(folder: Path, bait: Path, url: str) -> Path:
        archive = folder / "scene.zip"
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr(member, content(bait, url))
        return Path(f"{prefix}{archive}/{member}")

    return write


def _archived_side(suffix: str, content: Callable[[Path, str], str], form: str) -> Disguise:
    """An image with a side file, both in an archive."""

    def write(folder: Path, bait: Path, url: str) -> Path:
        image = write_image(folder / "scene.tif")
        archive = folder / "scene.zip"
        with zipfile.ZipFile(archive, "w") as target:
            target.write(image, image.name)
            target.writestr(f"{image.name}{suffix}", content(bait, url))
        return Path(form.format(archive))

    return write


def _overviews_of_overviews(folder: Path, bait: Path, url: str) -> Path:
    path = write_image(folder / "scene.tif")
    write_image(folder / "scene.tif.ovr")
    (folder / "scene.tif.ovr.ovr").write_text(tile_service(url))
    return path


def _nitf_overviews(folder: Path, bait: Path, url: str) -> Path:
    path = folder / "scene.ntf"
    with rasterio.open(
        path,
        "w",
        driver="NITF",
        ICORDS="G",
        width=SIDE,
        height=SIDE,
        count=1,
        dtype="uint8",
        crs="EPSG:4326",
        transform=Affine(0.001, 0, 2, 0, -0.001, 48),
    ) as dataset:
        dataset.write(np.full((1, SIDE, SIDE), 9, np.uint8))
    for level in (1, 2, 3):
        (folder / f"scene.ntf.r{level}").write_text(vrt(str(bait), size=SIDE >> level))
    return path


def _overviews_without_suffix(folder: Path, bait: Path, url: str) -> Path:
    path = write_image(folder / "scene.tif")
    (folder / "scene.ovr").write_text(tile_service(url))
    return path


def _kml_overlay(folder: Path, bait: Path, url: str) -> str:
    return (
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Region><LatLonAltBox><north>1'
        f"</north><south>0</south><east>1</east><west>0</west></LatLonAltBox></Region><NetworkLink>"
        f"<Link><href>{url}/x.kml</href></Link></NetworkLink><GroundOverlay><Icon><href>{url}/x.png"
        f"</href></Icon></GroundOverlay></Document></kml>"
    )


_PARTIAL = '<SourceFilename relativeToVRT="0">{}<!-- -->/../../{}</SourceFilename>'

RASTERS: dict[str, Disguise] = {
    "wms as tif": _written("scene.tif", lambda f, b, u: tile_service(u)),
    "wms as png": _written("scene.png", lambda f, b, u: tile_service(u)),
    "wms as vrt": _written("scene.vrt", lambda f, b, u: tile_service(u)),
    "wmts as tif": _written(
        "scene.tif",
        lambda f, b, u: f"<GDAL_WMTS><GetCapabilitiesUrl>{u}/w</GetCapabilitiesUrl></GDAL_WMTS>",
    ),
    "wcs as tif": _written(
        "scene.tif",
        lambda f, b, u: (
            f"<WCS_GDAL><ServiceURL>{u}/w?</ServiceURL><CoverageName>a</CoverageName></WCS_GDAL>"
        ),
    ),
    "capabilities as jpg": _written(
        "scene.jpg",
        lambda f, b, u: (
            f'<WMS_Capabilities version="1.3.0"><Service><OnlineResource href="{u}"/>'
            f"</Service></WMS_Capabilities>"
        ),
    ),
    "gti as tif": _written(
        "scene.tif",
        lambda f, b, u: (
            f"<GDALTileIndexDataset><IndexDataset>{u}/i.fgb</IndexDataset></GDALTileIndexDataset>"
        ),
    ),
    "mrf as tif": _written(
        "scene.tif",
        lambda f, b, u: (
            f"<MRF_META><CachedSource><Source>{b}</Source></CachedSource><Raster><Size "
            f'x="{SIDE}" y="{SIDE}" c="3"/></Raster></MRF_META>'
        ),
    ),
    "stac as tif": _written(
        "scene.tif",
        lambda f, b, u: json.dumps(
            {
                "stac_version": "1.0.0",
                "type": "FeatureCollection",
                "features": [{"type": "Feature", "assets": {"a": {"href": u}}}],
            }
        ),
    ),
    "kml overlay as tif": _written("scene.tif", _kml_overlay),
    "er mapper header as tif": _written(
        "scene.tif",
        lambda f, b, u: (
            f'DatasetHeader Begin\nVersion = "6.0"\nName = "{b}"\nDataType = Raster\n'
            f"HeaderOffset = 0\nRasterInfo Begin\nCellType = Unsigned8BitInteger\nNrOfLines = 9\n"
            f"NrOfCellsPerLine = 9\nNrOfBands = 1\nRasterInfo End\nDatasetHeader End\n"
        ),
    ),
    "vrt as tif": _written("scene.tif", lambda f, b, u: vrt(str(b))),
    "vrt as png": _written("scene.png", lambda f, b, u: vrt(str(b))),
    "vrt, absolute": _written("scene.vrt", lambda f, b, u: vrt(str(b))),
    "vrt, above": _written("scene.vrt", lambda f, b, u: vrt(f"../{b.name}", relative=True)),
    "vrt, around": _written(
        "scene.vrt", lambda f, b, u: vrt(f"../{f.name}/../{b.name}", relative=True)
    ),
    "vrt, blanks": _written("scene.vrt", lambda f, b, u: vrt(f"\n  {b}\n")),
    "vrt, escaped": _written("scene.vrt", lambda f, b, u: vrt(f"&#x2F;{str(b)[1:]}")),
    "vrt, capitals": _written(
        "scene.vrt", lambda f, b, u: vrt(str(b)).replace("SourceFilename", "SOURCEFILENAME")
    ),
    "vrt, attribute": _written(
        "scene.vrt",
        lambda f, b, u: vrt("").replace("<SimpleSource>", f'<SimpleSource SourceFilename="{b}">'),
    ),
    "vrt, comment": _written(
        "scene.vrt",
        lambda f, b, u: vrt(f"{b}<!-- -->/../{f.name}/scene.vrt"),
    ),
    "vrt, cdata": _written(
        "scene.vrt", lambda f, b, u: vrt(f"{b}<![CDATA[/../{f.name}/scene.vrt]]>")
    ),
    "vrt, link": _linked_source,
    "vrt, curl": _written("scene.vrt", lambda f, b, u: vrt(f"/vsicurl/{u}/x.tif")),
    "vrt, url": _written("scene.vrt", lambda f, b, u: vrt(f"{u}/x.tif")),
    "vrt, connection string": _written("scene.vrt", lambda f, b, u: vrt(f"vrt://{b}?bands=1,1,1")),
    "vrt, prefix": _written("scene.vrt", lambda f, b, u: vrt(f"GTIFF_DIR:1:{b}")),
    "vrt, wms string": _written("scene.vrt", lambda f, b, u: vrt(f"WMS:{u}?SERVICE=WMS")),
    "vrt, vrt inside": _written("scene.vrt", lambda f, b, u: vrt(vrt(str(b)).replace("<", "&lt;"))),
    "vrt, raw": _written("scene.vrt", lambda f, b, u: raw_vrt(str(b))),
    "vrt, raw, capitals": _written(
        "scene.tif", lambda f, b, u: raw_vrt(str(b), "vrtRAWrasterband")
    ),
    "vrt, warped": _written("scene.vrt", lambda f, b, u: warped_vrt(str(b))),
    "vrt, overview": _written(
        "scene.vrt",
        lambda f, b, u: vrt("none.tif", relative=True).replace(
            "</VRTRasterBand>",
            f"<Overview><SourceFilename>{b}</SourceFilename><SourceBand>1</SourceBand></Overview>"
            f"</VRTRasterBand>",
        ),
    ),
    "vrt, mask": _written(
        "scene.vrt",
        lambda f, b, u: vrt(
            "none.tif",
            relative=True,
            more=f'<MaskBand><VRTRasterBand dataType="Byte"><SimpleSource><SourceFilename>{b}'
            f"</SourceFilename></SimpleSource></VRTRasterBand></MaskBand>",
        ),
    ),
    "vrt, overviews in metadata": _written(
        "scene.vrt",
        lambda f, b, u: vrt(
            "none.tif",
            relative=True,
            more=f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/{u}/o</MDI>'
            f"</Metadata>",
        ),
    ),
    "vrt, srs": _written(
        "scene.vrt", lambda f, b, u: vrt("none.tif", relative=True).replace("EPSG:2154", f"{u}/c")
    ),
    "vrt of a wms": _vrt_of("inside.tif", lambda b, u: tile_service(u)),
    "vrt of a vrt": _vrt_of("inside.vrt", lambda b, u: vrt(str(b))),
    "vrt of a vrt as tif": _vrt_of("inside.tif", lambda b, u: vrt(f"/vsicurl/{u}/x.tif")),
    "vrt of a gif and a wms": _vrt_of("inside.gif", lambda b, u: f"GIF89a{tile_service(u)}"),
    "vrt of an image with overviews": _vrt_of_overviews,
    "vrt in an archive": _archived("scene.vrt", lambda b, u: vrt(str(b)), "/vsizip/"),
    "wms in an archive": _archived("scene.tif", lambda b, u: tile_service(u), "/vsizip/"),
    "overviews in an archive: vrt": _archived_side(
        ".ovr", lambda b, u: vrt(str(b), size=SIDE // 2), "/vsizip/{}/scene.tif"
    ),
    "overviews in an archive: wms": _archived_side(
        ".ovr", lambda b, u: tile_service(u), "/vsizip/{}/scene.tif"
    ),
    "overviews: vrt": _beside(".ovr", lambda b, u: vrt(str(b), size=SIDE // 2)),
    "overviews: wms": _beside(".ovr", lambda b, u: tile_service(u)),
    "overviews: wms, capitals": _beside(".OVR", lambda b, u: tile_service(u)),
    "overviews of a png: wms": _beside(".ovr", lambda b, u: tile_service(u), "a.png", "PNG"),
    "overviews of overviews: wms": _overviews_of_overviews,
    "overviews without the suffix: wms": _overviews_without_suffix,
    "overviews of a nitf: vrt": _nitf_overviews,
    "mask: wms": _beside(".msk", lambda b, u: tile_service(u)),
    "metadata: url": _beside(".aux.xml", lambda b, u: _aux(f"/vsicurl/{u}/o.tif")),
    "metadata: file": _beside(".aux.xml", lambda b, u: _aux(str(b))),
    "metadata: above": _beside(".aux.xml", lambda b, u: _aux(f":::BASE:::../{b.name}")),
    "metadata: escaped": _beside(
        ".aux.xml", lambda b, u: _aux(str(b)).replace("OVERVIEW_FILE", "OVERVIEW&#95;FILE")
    ),
    "metadata inside: url": lambda f, b, u: write_image(
        f / "scene.tif", overviews=f"/vsicurl/{u}/o.tif"
    ),
    "metadata inside: file": lambda f, b, u: write_image(f / "scene.tif", overviews=str(b)),
}

POLYGON = shapely.box(2, 48, 2.1, 48.1)


def write_layer(path: Path, text: str = BAIT_TEXT) -> Path:
    values = {"name": [text], "class": ["pool"]}
    table = gpd.GeoDataFrame(values, geometry=[POLYGON], crs="EPSG:4326")
    table.to_file(path, layer="bait")
    return path


def geojson(**members: object) -> str:
    feature = {"type": "Feature", "properties": {"n": 1}, "geometry": POLYGON.__geo_interface__}
    return json.dumps({"type": "FeatureCollection", **members, "features": [feature]})


def ogr_vrt(source: object) -> str:
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="bait"><SrcDataSource>{source}</SrcDataSource>'
        f"</OGRVRTLayer></OGRVRTDataSource>"
    )


def pipeline(source: object) -> str:
    command = f"gdal vector pipeline ! read {source}"
    return json.dumps({"type": "gdal_streamed_alg", "command_line": command})


def gml(schema: str = "", declaration: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{declaration}<wfs:FeatureCollection '
        f'xmlns:wfs="http://www.opengis.net/wfs" xmlns:gml="http://www.opengis.net/gml" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:t="http://t" {schema}>'
        f"<gml:featureMember><t:zone><t:name>007</t:name><t:geom><gml:Polygon "
        f'srsName="EPSG:4326"><gml:outerBoundaryIs><gml:LinearRing><gml:coordinates>2,48 2.1,48 '
        f"2.1,48.1 2,48</gml:coordinates></gml:LinearRing></gml:outerBoundaryIs></gml:Polygon>"
        f"</t:geom></t:zone></gml:featureMember></wfs:FeatureCollection>"
    )


def _link_crs(url: str, kind: str = "link") -> dict[str, object]:
    return {"type": kind, "properties": {"href": f"{url}/crs", "url": f"{url}/crs"}}


def _gml_with_schema(folder: Path, bait: Path, url: str) -> Path:
    path = folder / "zones.gml"
    path.write_text(gml())
    path.with_suffix(".xsd").write_text(
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        f'<xs:include schemaLocation="{url}/a.xsd"/></xs:schema>'
    )
    return path


def _virtual_table(folder: Path, bait: Path, url: str) -> Path:
    path = write_layer(folder / "zones.gpkg", "inside")
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA writable_schema = 1")
        database.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, ?)",
            (f"CREATE VIRTUAL TABLE v USING VirtualOGR('{bait}')",),
        )
    database.close()
    return path


def _archived_vrt(folder: Path, bait: Path, url: str) -> Path:
    path = folder / "zones.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zones.geojson", ogr_vrt(bait))
    return path


LAYERS: dict[str, Disguise] = {
    "vrt as geojson": _written("zones.geojson", lambda f, b, u: ogr_vrt(b)),
    "vrt as gpkg": _written("zones.gpkg", lambda f, b, u: ogr_vrt(b)),
    "vrt as shp": _written("zones.shp", lambda f, b, u: ogr_vrt(b)),
    "vrt as kml": _written("zones.kml", lambda f, b, u: f"<!-- <kml> -->{ogr_vrt(b)}"),
    "vrt behind a kml": _written("zones.kml", lambda f, b, u: f"<kml/>{ogr_vrt(b)}"),
    "vrt by its name": _written("zones.vrt", lambda f, b, u: ogr_vrt(b)),
    "vrt of a server": _written("zones.geojson", lambda f, b, u: ogr_vrt(f"/vsicurl/{u}/x.fgb")),
    "vrt in an archive": _archived_vrt,
    "vrt in an archive by its address": _archived(
        "zones.geojson", lambda b, u: ogr_vrt(b), "/vsizip/"
    ),
    "pipeline as geojson": _written("zones.geojson", lambda f, b, u: pipeline(b)),
    "pipeline as gpkg": _written("zones.gpkg", lambda f, b, u: pipeline(b)),
    "pipeline by its name": _written("zones.gdalg.json", lambda f, b, u: pipeline(b)),
    "wfs as geojson": _written(
        "zones.geojson",
        lambda f, b, u: f"<OGRWFSDataSource><URL>{u}/wfs</URL></OGRWFSDataSource>",
    ),
    "capabilities as gml": _written(
        "zones.gml",
        lambda f, b, u: (
            f'<WFS_Capabilities xmlns="http://www.opengis.net/wfs" '
            f'xmlns:gml="http://www.opengis.net/gml"><OnlineResource>{u}</OnlineResource>'
            f"</WFS_Capabilities>"
        ),
    ),
    "csw as geojson": _written(
        "zones.geojson",
        lambda f, b, u: f"<OGRCSWDataSource><URL>{u}/csw</URL></OGRCSWDataSource>",
    ),
    "gti as gpkg": _written(
        "zones.gpkg",
        lambda f, b, u: (
            f"<GDALTileIndexDataset><IndexDataset>{b}</IndexDataset></GDALTileIndexDataset>"
        ),
    ),
    "table of a planetary label": _written(
        "zones.tab",
        lambda f, b, u: f'PDS_VERSION_ID = PDS3\n^TABLE = ("{b}", 1)\nRECORD_TYPE = FIXED_LENGTH\n',
    ),
    "view of mapinfo tables": _written(
        "zones.tab",
        lambda f, b, u: f'!table\n!version 100\nOpen Table "{b}" Hide\nCreate View v As\n',
    ),
    "crs link": _written("zones.geojson", lambda f, b, u: geojson(crs=_link_crs(u))),
    "crs url": _written("zones.geojson", lambda f, b, u: geojson(crs=_link_crs(u, "URL"))),
    "crs link, key in capitals": _written("zones.json", lambda f, b, u: geojson(CRS=_link_crs(u))),
    "crs link, escaped key": _written(
        "zones.json", lambda f, b, u: geojson(crs=_link_crs(u)).replace("crs", r"\u0063rs", 1)
    ),
    "crs link, escaped type": _written(
        "zones.json", lambda f, b, u: geojson(crs=_link_crs(u)).replace('"link', r'"l\u0069nk')
    ),
    "crs link of a geometry": _written(
        "zones.json",
        lambda f, b, u: geojson().replace(
            '"Polygon",', f'"Polygon", "crs": {json.dumps(_link_crs(u))},'
        ),
    ),
    "crs link of a line": _written(
        "zones.geojsonl",
        lambda f, b, u: (
            json.dumps(json.loads(geojson())["features"][0] | {"crs": _link_crs(u)}) + "\n"
        ),
    ),
    "crs link of a topology": _written(
        "zones.json",
        lambda f, b, u: json.dumps(
            {
                "type": "Topology",
                "crs": _link_crs(u),
                "arcs": [],
                "objects": {
                    "a": {
                        "type": "GeometryCollection",
                        "geometries": [{"type": "Point", "coordinates": [2, 48]}],
                    }
                },
            }
        ),
    ),
    "crs link of a topology, single quotes": _written(
        "zones.json",
        lambda f, b, u: (
            '{"type": "Topology", \'crs\' /* */ : '
            + json.dumps(_link_crs(u))
            + ', "arcs": [], "objects": {"a": {"type": "GeometryCollection", "geometries": [{'
            + '"type": "Point", "coordinates": [2, 48]}]}}}'
        ),
    ),
    "gml with a remote schema": _written(
        "zones.gml",
        lambda f, b, u: gml(
            f'xsi:schemaLocation="http://t {u}/wfs?service=WFS&amp;version=1.0.0&amp;request='
            f'DescribeFeatureType&amp;typeName=t:zone"'
        ),
    ),
    "gml with an entity": _written(
        "zones.gml",
        lambda f, b, u: gml(declaration=f'<!DOCTYPE a [<!ENTITY x SYSTEM "{u}/x">]>'),
    ),
    "gml whose schema includes a remote one": _gml_with_schema,
    "kml with a network link": _written(
        "zones.kml",
        lambda f, b, u: (
            f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document><NetworkLink><Link>'
            f"<href>{u}/n.kml</href></Link></NetworkLink></Document></kml>"
        ),
    ),
    "geopackage with a virtual table": _virtual_table,
}
