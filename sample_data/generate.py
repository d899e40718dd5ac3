"""Draw imaginary aerial scenes and write them as a GeoTIFF and a GeoJSON truth file each.

Without options the sample of the project is rewritten::

    python sample_data/generate.py

Scenes for training have consecutive random seeds, and so varied appearance::

    python sample_data/generate.py --count 20 --size 1024 --classes pool,car -o FOLDER
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import rasterio
import shapely
from affine import Affine
from drawing.scene import Scene, draw_scene
from pyproj import Transformer
from rasterio.enums import ColorInterp
from shapely.geometry import Polygon, mapping
from shapely.geometry.polygon import orient

__all__ = ["Scene", "draw_scene", "main", "write_scene"]

SEED = 28
GSD_M = 0.20
_CRS = "EPSG:2154"
_ORIGIN_M = (1_025_000.0, 6_280_000.0)
_GAP_M = 100.0  # between scenes, so that labels of different scenes do not overlap


def write_scene(
    scene: Scene, stem: Path, gsd_m: float, classes: Sequence[str], *, east_m: float = 0.0
) -> int:
    """Write `stem`.tif and `stem`.geojson, `east_m` east of the origin; return the object count."""
    transform = Affine(gsd_m, 0, _ORIGIN_M[0] + east_m, 0, -gsd_m, _ORIGIN_M[1])
    _write_image(scene, stem.with_suffix(".tif"), transform)
    features = _features(scene, transform, classes)
    text = ",\n".join(json.dumps(feature) for feature in features)
    head = '{"type": "FeatureCollection", "features": [\n'
    stem.with_suffix(".geojson").write_text(f"{head}{text}\n]}}\n", encoding="utf-8")
    return len(features)


def main() -> None:
    """Draw and write the scenes of the command line."""
    options = _parse_options()
    classes = options.classes.split(",")
    options.output.mkdir(parents=True, exist_ok=True)
    for index in range(options.count or 1):
        name = f"scene_{index + 1:04d}" if options.count else "neighbourhood"
        scene = draw_scene(options.seed + index, options.size, options.gsd)
        east_m = index * (options.size * options.gsd + _GAP_M)
        count = write_scene(scene, options.output / name, options.gsd, classes, east_m=east_m)
        print(f"{options.output / name}.tif: {count} objects")


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw imaginary aerial scenes.")
    parser.add_argument("--seed", type=int, default=SEED, help="random seed of the (first) scene")
    parser.add_argument("--size", type=int, default=2500, help="side of a scene in pixels")
    parser.add_argument("--gsd", type=float, default=GSD_M, help="metres per pixel")
    parser.add_argument("--classes", default="pool", help="comma-separated: pool, car, tree")
    parser.add_argument(
        "--count", type=int, default=0, help="scenes to write: scene_0001 and so on"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(__file__).parent, help="folder to write to"
    )
    return parser.parse_args()


def _write_image(scene: Scene, path: Path, transform: Affine) -> None:
    height, width, bands = scene.rgb.shape
    profile = {
        "driver": "COG",
        "height": height,
        "width": width,
        "count": bands,
        "dtype": "uint8",
        "crs": _CRS,
        "transform": transform,
        "compress": "JPEG",
        "quality": 90,
        "blocksize": 512,
        "overviews": "IGNORE_EXISTING",
        "overview_resampling": "average",
    }
    with rasterio.open(path, "w", **profile) as target:
        target.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        target.write(scene.rgb.transpose(2, 0, 1))


def _features(scene: Scene, transform: Affine, classes: Sequence[str]) -> list[dict[str, object]]:
    chosen = [(name, shape) for name, shape in scene.objects if name in classes]
    to_lon_lat = Transformer.from_crs(_CRS, "OGC:CRS84", always_xy=True)
    return [
        {
            "type": "Feature",
            "properties": {"id": number, "class": name},
            "geometry": mapping(_to_lon_lat(shape, transform, to_lon_lat)),
        }
        for number, (name, shape) in enumerate(chosen, start=1)
    ]


def _to_lon_lat(shape: Polygon, transform: Affine, to_lon_lat: Transformer) -> Polygon:
    """Move an outline from pixels to longitude and latitude, counter-clockwise."""
    columns, rows = shapely.get_coordinates(shape.exterior).T
    x_m, y_m = transform.c + transform.a * columns, transform.f + transform.e * rows
    longitudes, latitudes = to_lon_lat.transform(x_m, y_m)
    points = zip(longitudes.round(8).tolist(), latitudes.round(8).tolist(), strict=True)
    return orient(Polygon(points))


if __name__ == "__main__":
    main()
