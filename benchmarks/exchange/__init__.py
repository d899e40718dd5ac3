"""Models of other programs here, and ours in theirs."""
