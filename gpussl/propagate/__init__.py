"""Propagate: extend a few known labels to the points around them."""
