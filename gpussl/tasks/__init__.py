"""Tasks: each puts the stages in order."""
