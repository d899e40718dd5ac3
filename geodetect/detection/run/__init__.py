"""One run of `predict`: tile pipeline, journal, fingerprint."""
