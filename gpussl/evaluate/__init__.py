"""Evaluate: measure the quality of labels, clusters and models."""
