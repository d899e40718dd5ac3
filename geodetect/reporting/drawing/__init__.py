"""Drawing on imagery: boxes, scale bars, contact sheets."""
