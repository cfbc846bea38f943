"""What cross-fitting says of the labels of a project."""

from dataclasses import dataclass

import numpy as np

from gpussl.evaluate.powered import Estimate, estimate_accuracy


@dataclass(frozen=True)
class Crossed:
    """What models say of points whose labels they have not seen, each point of a model that is one of several.

    Attributes
    ----------
    places : (k,) int array
        The points that were predicted: all that nobody labelled, or a random part of them.
    numbers, chance : (k,) array
        The predicted class number, and its probability.

    Examples
    --------
    >>> Crossed(np.array([3, 5]), np.array([0, 1]), np.array([0.75, 1.0])).chance.mean()
    np.float64(0.875)
    """

    places: np.ndarray
    numbers: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True)
class Checked:
    """What cross-fitting says of each random point: the class that is predicted without its label.

    Attributes
    ----------
    y, predicted : (m,) int array
        Class numbers of all labelled points; -1 for the prediction of one that was not held out.
    counts : (m,) int array
        How often the point is in the random sample: several times if copies of it are.
    predicted_as_new : (m,) int array, optional
        The same for the model that predicts new data, if the points of the project get their labels in another way.
    chance : (m,) array, optional
        The probability of the predicted class.
    crossed : Crossed, optional
        What the same models say of points without a label.
    mean_chance : float, optional
        The mean probability of the predicted class over all points, copies included. None if too many of them were
        labelled for another reason than chance: models know these, and the others are easier or harder.
    n_points : float
        All points of the project, copies included, of which the random ones were drawn.

    Examples
    --------
    >>> Checked(np.array([0, 1]), np.array([0, 0]), np.array([3, 1])).accuracy
    0.75
    """

    y: np.ndarray
    predicted: np.ndarray
    counts: np.ndarray
    predicted_as_new: np.ndarray | None = None
    chance: np.ndarray | None = None
    crossed: Crossed | None = None
    mean_chance: float | None = None
    n_points: float = np.inf

    @property
    def as_new(self) -> "Checked | None":
        """The same for new data; None if the points of the project are predicted in the same way."""
        if self.predicted_as_new is None:
            return None
        return Checked(self.y, self.predicted_as_new, self.counts)

    @property
    def n(self) -> int:
        """The number of random points, copies included."""
        return int(self.counts.sum())

    @property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """The class numbers of the random points, and the predicted ones: (n,) each."""
        drawn = np.repeat(np.arange(len(self.y)), self.counts)
        return self.y[drawn], self.predicted[drawn]

    @property
    def accuracy(self) -> float:
        """The estimated share of all points that is predicted correctly; 0 if there are no random points."""
        return self.estimate.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return self.estimate.low, self.estimate.high

    @property
    def estimate(self) -> Estimate:
        """The accuracy on all points, from the random ones and what is said of the others."""
        drawn = np.flatnonzero(self.counts)
        if not len(drawn):
            return Estimate(0.0, 0.0, 1.0, 0.0)
        is_right, counts = self.y[drawn] == self.predicted[drawn], self.counts[drawn]
        if self.chance is None or self.mean_chance is None:
            return estimate_accuracy(is_right, np.zeros(len(drawn)), 0.0, self.n_points, counts)
        return estimate_accuracy(is_right, self.chance[drawn], self.mean_chance, self.n_points, counts)
