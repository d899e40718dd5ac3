"""Output layouts of detectors: raw output of a network in, boxes, scores and classes out."""
