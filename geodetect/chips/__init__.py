"""Export of labelled image chips as data sets."""
