"""Export of labelled image chips."""
