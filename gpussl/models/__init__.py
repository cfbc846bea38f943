"""Classifiers with scikit-learn's API that train where their data are and save without pickles."""

from gpussl.models.logistic import LogisticRegression
from gpussl.models.mlp import MLPClassifier

__all__ = ["LogisticRegression", "MLPClassifier"]
