"""Tasks: pages that put the stages in order."""
