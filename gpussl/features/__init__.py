"""Features: what the classifiers learn from, made of the represented points and their clusters."""
