"""Runs that many machines share: a plan, shards that any scheduler computes, and their merge."""
