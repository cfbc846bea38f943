"""Classifiers with scikit-learn's API that train on the device of their data and are saved without pickles."""
