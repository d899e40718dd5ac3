"""Export of models for other programs: ONNX files, and their description as STAC items."""
