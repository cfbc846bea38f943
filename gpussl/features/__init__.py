"""Features: the input of the classifiers, computed from the represented points and their clusters."""
