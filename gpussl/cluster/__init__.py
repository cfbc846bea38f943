"""Cluster: a partition of the training points, from which come both what to label and how far a label reaches."""
