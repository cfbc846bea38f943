"""Parts that only the two reproduced studies use."""
