"""Names that other programs and people give to the commands and options, for hints in errors."""

from __future__ import annotations

_COMMANDS = {
    "predict": "detect inference infer run find search segment detection classify",
    "plan": "prepare schedule shard shards partition",
    "merge": "join combine collect gather reduce",
    "status": "state watch progress ps",
    "train": "fit finetune fine-tune learn retrain training",
    "check": "lint verify inspect labels",
    "evaluate": "eval val validate test score metrics assess benchmark accuracy",
    "calibrate": "platt tune adjust",
    "compare": "diff change changes match delta",
    "summarize": "summarise summary count stats zonal aggregate",
    "report": "map page html web dashboard export-html",
    "preview": "plot draw show view visualize visualise render display",
    "convert": "import",
    "export": "to-onnx onnx",
    "quantize": "quantise int8 compress optimize",
    "info": "describe gdalinfo metadata show-info",
    "models": "list ls zoo download list-models",
    "tile": "chip chips slice split crop cut patch patches",
}
_OPTIONS = {  # names of options, without dashes; of several, the first one that the command has
    "conf": "confidence confidence-threshold conf-threshold conf-thres conf-thresh threshold "
    "thresh score score-threshold score-thresh score-thr min-score min-conf probability prob "
    "model-confidence-threshold box-score-thresh",
    "model init weights": "weights weight checkpoint ckpt model-path model-file model-name network "
    "model-checkpoint pretrained net",
    "init model": "base-model start start-from from finetune pretrained-weights",
    "output": "out output-dir output-file output-path outfile outdir out-dir out-file dst dest "
    "destination save save-dir save-to project to write target html page",
    "rasters file": "i input inputs in input-file input-dir image images img imgs src source scene "
    "scenes tif tiff ortho orthophoto imagery photo file files sheets",
    "tile-size": "imgsz img-size image-size patch-size patch window-size window chip-size chip-px "
    "slice-size slice-height slice-width slice crop-size block-size size",
    "overlap": "patch-overlap overlap-ratio overlap-height-ratio overlap-width-ratio stride "
    "tile-overlap tiles-overlap buffer margin",
    "nms-iou iou": "nms nms-thresh nms-threshold merge-threshold max-overlap",
    "iou nms-iou": "iou-thres iou-thresh iou-threshold iou-min min-iou match-iou match-threshold",
    "classes": "category categories names class-names class-name only filter",
    "class-field": "label-field label-column class-column category-field attribute",
    "score-field": "conf-field confidence-field score-column",
    "bbox": "extent bounds te projwin rect rectangle box window",
    "aoi val-aoi": "mask region roi area-of-interest cutline clip polygon boundary limit",
    "steps": "epochs epoch iterations iters max-steps num-steps max-iter n-steps",
    "minutes": "time time-limit max-time duration hours",
    "lr": "learning-rate lr0 rate",
    "batch-size": "batch bs",
    "device": "gpu gpus cuda cpu accelerator",
    "precision": "half fp16 bf16 fp32 int8 dtype amp",
    "workers": "threads num-workers num-threads jobs processes cores",
    "gsd": "resolution res pixel-size cell-size cellsize tr spacing scale",
    "labels truth": "data dataset annotations annotation ann anno gt ground-truth groundtruth "
    "targets target "
    "label-file truth reference y",
    "truth register labels": "ground-truth gt reference annotations labels",
    "predictions": "preds pred detections detection results objects dets",
    "register": "cadastre permits expected known inventory list",
    "before": "old previous earlier t1 baseline",
    "zones": "communes districts regions polygons municipalities areas admin parcels",
    "crs": "srs t-srs epsg proj projection out-crs dst-crs",
    "src-crs": "a-srs s-srs input-crs in-crs",
    "overwrite": "force replace exist-ok yes clobber overwrite-output",
    "quiet": "silent no-progress",
    "verbose": "debug loglevel log-level",
    "log-file": "log logfile logs",
    "format": "driver of output-format out-format file-format export-format ext",
    "distance": "max-distance radius dist tolerance-m",
    "config": "cfg settings params yaml",
    "bands": "band channels rgb indexes",
    "val-share": "val-split test-size val-fraction split validation-split holdout",
    "val-rasters": "val val-dir validation val-images",
    "seed": "random-state random-seed",
    "patience": "early-stopping",
    "augment": "augmentation augmentations aug",
    "dry-run": "estimate plan simulate",
    "thumbnails": "chips count examples",
    "json": "as-json output-json",
}


def command_meant(word: str) -> str | None:
    """Return the command that a word of other programs means."""
    return next((c for c, names in _COMMANDS.items() if word.lower() in names.split()), None)


def options_meant() -> dict[str, list[str]]:
    """Return the options that names of other programs, without dashes, may mean, best first."""
    meant: dict[str, list[str]] = {}
    for options, names in _OPTIONS.items():
        for name in names.split():
            meant.setdefault(name, []).extend(options.split())
    return meant
