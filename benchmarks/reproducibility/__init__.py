"""Equal bytes: across interruptions, batches, threads and revisions."""
