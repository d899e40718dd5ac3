"""The commands, one module each."""

COMMANDS = {  # first line of the help of each, so that none is imported to list them all
    "predict": "Detect objects in rasters and write them as a map layer.",
    "plan": "Plan a run that many machines share.",
    "merge": "Merge the shards of a planned run into a map layer.",
    "status": "Show which shards of a planned run are computed.",
    "train": "Train a model on labelled rasters.",
    "check": "Check labels and rasters before a training.",
    "evaluate": "Measure the accuracy of predictions, or of a model.",
    "calibrate": "Make the scores of a model fractions of true positives.",
    "compare": "List objects that are new, confirmed, moved or missing.",
    "summarize": "Count predictions by zone, corrected for known errors.",
    "report": "Show predictions or changes on a page that works offline.",
    "preview": "Draw rasters with predictions or changes as an image.",
    "convert": "Convert a model of another program to a model file.",
    "export": "Export a model for Deepness, GeoDeep, ONNX Runtime or STAC.",
    "quantize": "Add an int8-quantized network to a model.",
    "info": "Show the properties of a raster or a model.",
    "models": "List the built-in models.",
    "tile": "Cut rasters and labels into chips for training elsewhere.",
}
