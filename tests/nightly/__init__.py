"""The nightly lane: parts that take long, one after the other, each done once for a seed."""
