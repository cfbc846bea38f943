"""Represent: raw values to the features that everything after works on, by a chain of steps."""
