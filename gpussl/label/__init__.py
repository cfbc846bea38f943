"""Label: who is asked for the labels of the selected points."""
