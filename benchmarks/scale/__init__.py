"""Many sheets: time, headers, shards."""
