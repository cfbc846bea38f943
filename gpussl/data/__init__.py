"""Data: sources and formats, read into a `Dataset`."""
