"""Propagate: from the few labels that are known to labels for the points around them."""
