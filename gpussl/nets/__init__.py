"""PyTorch for any stage."""
