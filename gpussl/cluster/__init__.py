"""Cluster: a partition of the training points. It decides which points to label and how far each label reaches."""
