"""Select: which points to label."""
