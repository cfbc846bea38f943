"""Evaluate: how good labels, clusters and models are."""
