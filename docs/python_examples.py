"""Examples of the Python reference, a section for each public name, run from top to bottom.

``docs/python_reference.py`` puts them into ``python.md``. They run in a folder with the scene and
the ground truth of ``sample_data``; a section that ends in ``(not run)`` needs other files.
"""

# ruff: noqa: E402

# %% predict
import geodetect

area = (1_025_000, 6_279_800, 1_025_200, 6_280_000)  # min x, min y, max x, max y
pools = geodetect.predict("neighbourhood.tif", conf=0.5, bbox=area)
print(pools[["class", "score", "area_m2"]].describe())

# %% predict_layer
layer = geodetect.predict_layer("neighbourhood.tif", bbox=area, progress=True)
print(layer, layer.by_class)

# %% predict_to_file
layer = geodetect.predict_to_file(
    "neighbourhood.tif", "town.gpkg", bbox=area, coverage="town.gpkg", overwrite=True
)

# %% plan_to_folder
manifest = geodetect.plan_to_folder("neighbourhood.tif", "run", bbox=area, shard_px=1e6)
print(len(manifest.shards), "shards")

# %% predict_shards
for part in ("1/2", "2/2"):  # each on another machine, in any order
    print(geodetect.predict_shards("run", shard=part))

# %% run_status
print(geodetect.run_status("run"))

# %% draw_run_map
image = geodetect.draw_run_map("run", "run.png")  # each shard in the colour of its status

# %% merge_to_file
layer = geodetect.merge_to_file("run", "shards.gpkg")

# %% ShardsSummary
summary = geodetect.predict_shards("run")  # all shards are computed already
print(summary.tiles, summary.detections, summary.absent)

# %% RunStatus
status = geodetect.run_status("run")
print(status.is_complete, status.absent, status.with_holes)

# %% ArrayRaster
import rasterio

with rasterio.open("neighbourhood.tif") as dataset:
    window = rasterio.windows.Window(0, 0, 1000, 1000)
    pixels = dataset.read(window=window)  # [bands, height, width]
    transform = dataset.window_transform(window)
block = geodetect.ArrayRaster(pixels, transform=transform, crs=2154, name="block")
print(geodetect.predict(block)["raster"].unique())

# %% CallableDetector
import numpy as np
import shapely
from rasterio import features


def find_bright(image):  # uint8[C, H, W]
    """Find areas that are white in all bands: their boxes, scores, classes and outlines."""
    is_white = image.min(axis=0) > 250
    areas = features.shapes(is_white.astype("uint8"), mask=is_white)
    outlines = np.array([shapely.geometry.shape(area) for area, _ in areas], dtype=object)
    count = len(outlines)
    return shapely.bounds(outlines), np.full(count, 0.9), np.zeros(count, int), outlines


bright = geodetect.CallableDetector(find_bright, classes=("bright",), identity="bright-1")
spots = geodetect.predict("neighbourhood.tif", bright, bbox=area, min_area="0.5m2")

# %% Detector
print(isinstance(bright.card, geodetect.ModelCard))  # any object with `card` and a call will do

# %% Detections
from geodetect import Detections  # outlines=[...] takes polygons, vertices or None

detections = Detections.from_arrays([[0, 0, 9, 9], [20, 5, 30, 15]], [0.9, 0.4], [0, 0])
print(detections[detections.scores > 0.5].boxes)

# %% DetectionLayer
print(len(layer), layer.by_class, layer.area_m2)
table = layer.table()  # as `predict` returns it

# %% RunSummary
print(layer.summary.tiles, layer.summary.seconds)

# %% plan
for ground_plan in geodetect.plan("neighbourhood.tif", tile_size=512):
    with ground_plan.ground:
        print(ground_plan.tile_count, ground_plan.grid.gsd_m)

# %% estimate
estimate = geodetect.estimate("neighbourhood.tif", bbox=area)

# %% Estimate
print(estimate.tiles, estimate.seconds, estimate.area_km2)

# %% coverage_table
searched = geodetect.coverage_table(layer.coverage)
print(searched[["status", "area_m2"]])

# %% write
geodetect.write(pools[pools["score"] > 0.7], "certain.geojson", overwrite=True)

# %% evaluate
import geopandas as gpd

truth = gpd.read_file("neighbourhood.geojson").to_crs(2154)
truth = truth[truth.within(shapely.box(*area))]
evaluation = geodetect.evaluate(pools, truth, iou=0.3, resamples=100)
print(evaluation)

# %% evaluate_model
evaluation = geodetect.evaluate_model("pools", block, truth, iou=0.3, resamples=100)

# %% compare
changes = geodetect.compare(pools, truth, distance=5)
print(changes.counts)

# %% ErrorRates
rates = geodetect.ErrorRates(tp=90, fp=8, fn=10, source="town hall, 2024")

# %% error_rates_from_model
rates = geodetect.error_rates_from_model("pools")

# %% error_rates_from_evaluation
rates = geodetect.error_rates_from_evaluation(evaluation.as_dict())

# %% summarize
zones = gpd.GeoDataFrame({"name": ["all"]}, geometry=[truth.union_all().envelope], crs=truth.crs)
counts = geodetect.summarize(pools, zones, rates=rates)
print(counts.zones[["name", "count", "corrected_count"]])

# %% report
page = geodetect.report(
    pools, "page.html", raster=block, truth=truth, title="Pools", overwrite=True
)

# %% ReportSummary
print(page.output, page.predictions)

# %% preview
image = geodetect.preview("neighbourhood.tif", pools, image_size=800)
image.save("overview.png")

# %% inspect_raster
print(geodetect.inspect_raster("neighbourhood.tif")["gsd_m"])

# %% check
labels_report = geodetect.check("neighbourhood.tif", "neighbourhood.geojson", shift=False)

# %% LabelReport
for finding in labels_report.findings:
    print(finding.severity, finding.text)

# %% export_chips
geodetect.export_chips(block, truth, "chips", format="yolo", overwrite=True)

# %% train
summary = geodetect.train(
    "neighbourhood.tif",
    "neighbourhood.geojson",
    "mine.safetensors",
    steps=2,  # some 2,000 for a model that is used
    batch_size=2,
    tile_size=128,
    val_share=0,  # of the labels that are held out to measure on; 20 % by default
    check=False,
    overwrite=True,
)

# %% TrainingSummary
print(summary.steps, summary.output, summary.card.classes)

# %% write_training_page
geodetect.write_training_page(summary.run_dir, overwrite=True)

# %% list_models
print(geodetect.list_models())

# %% load_card
card = geodetect.load_card("pools")

# %% ModelCard
print(card.classes, card.gsd_m, card.conf)

# %% quantize (not run)
geodetect.quantize("mine.safetensors", "neighbourhood.tif", "mine-int8.safetensors", tiles=64)

# %% calibrate (not run)
geodetect.calibrate("cars.safetensors", "tiles/", "cars.gpkg", "calibrated.safetensors")

# %% convert (not run)
geodetect.convert("trees.ckpt", "trees.safetensors", gsd="10cm")

# %% export_model (not run)
geodetect.export_model("pools", "pools.onnx", target="geodeep")

# %% GeodetectError
try:
    geodetect.predict("neighbourhood.tif", confidence=0.5)
except geodetect.GeodetectError as error:
    print(error)  # predict() has no parameter `confidence`; did you mean `conf`?

# %% PredictSettings
settings = geodetect.PredictSettings(conf=0.5, bbox=area)
pools = geodetect.predict("neighbourhood.tif", settings=settings, gsd=0.3)  # keywords win

# %% ModelSettings
settings = geodetect.ModelSettings(device="cpu", precision="fp32")
evaluation = geodetect.evaluate_model("pools", block, truth, predict_settings=settings, resamples=0)

# %% EvaluateSettings
evaluation = geodetect.evaluate(pools, truth, geodetect.EvaluateSettings(distance=3, resamples=0))

# %% CompareSettings
changes = geodetect.compare(pools, truth, settings=geodetect.CompareSettings(moved_from=2))

# %% SummarizeSettings
counts = geodetect.summarize(pools, zones, settings=geodetect.SummarizeSettings(classes=["pool"]))

# %% ReportSettings
settings = geodetect.ReportSettings(title="Pools", note="Imagery of 2024", conf=0.5)

# %% PreviewSettings
settings = geodetect.PreviewSettings(sheet="worst", thumbnails=12)
sheet = geodetect.preview(block, pools, settings=settings)

# %% CheckSettings
settings = geodetect.CheckSettings(gsd="25cm", shift=False)

# %% ChipSettings
settings = geodetect.ChipSettings(format="coco", tile_size=512, overlap="20%")

# %% TrainSettings
settings = geodetect.TrainSettings(minutes=30, gsd=0.25, val_rasters="neighbourhood.tif")

# %% QuantizeSettings
settings = geodetect.QuantizeSettings(tiles=64, min_ap="95%")

# %% ExportSettings
settings = geodetect.ExportSettings(target="deepness", tile_size=512)

# %% CalibrateSettings
settings = geodetect.CalibrateSettings(iou=0.3)

# %% ConvertSettings
settings = geodetect.ConvertSettings(gsd=0.1, classes=["tree"])

# %% __version__
print(geodetect.__version__)
