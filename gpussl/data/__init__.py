"""Data: read sources and formats into a `Dataset`."""
