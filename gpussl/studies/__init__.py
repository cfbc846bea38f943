"""What only the two reproduced studies need."""
