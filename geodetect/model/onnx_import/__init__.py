"""Import of ONNX detectors of other programs: reading, recognition, conversion to model files."""
