"""Represent: map raw values to the features used by all later stages, in a chain of steps."""
