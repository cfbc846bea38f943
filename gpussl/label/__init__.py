"""Label: obtain the labels of the selected points."""
