"""Classifiers with scikit-learn's API that train where their data are and save without pickles."""
