"""Advice on buying more labels, from accuracies measured with the labels bought so far."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from gpussl import seeds
from gpussl.evaluate import learning_curve as curves
from gpussl.evaluate.learning_curve import LEVEL, Curve, LabelBudget, Measured

AHEAD = (1, 2, 4)  # multiples of the budget for which the accuracy is forecast, up to the number of points


@dataclass(frozen=True)
class Forecast:
    """The forecast accuracy with n labels, as a share, and its interval with coverage `LEVEL`.

    Examples
    --------
    >>> forecast = Forecast(n_labels=1000, accuracy=0.9, low=0.87, high=0.92)
    >>> f"{forecast.accuracy:.0%} with {forecast.n_labels} labels ({forecast.low:.0%} to {forecast.high:.0%})"
    '90% with 1000 labels (87% to 92%)'
    """

    n_labels: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Advice:
    """The conclusions from the learning curve of one selection. `advise` computes them.

    Attributes
    ----------
    measured : Measured
    half_widths : (s,) array
        Half-widths of the intervals of the measured accuracies.
    curve, draws : Curve
        The best fit, and draws from the posterior distribution of curves.
    steps : (m,) array
        How each draw drifts beyond the labels that are there.
    forecasts : list of Forecast
    needed : tuple of float
        Number of labels that reaches the target, and its interval; infinite if the target is never reached.
    gain : tuple of float
        Gain in accuracy from doubling the labels, or from all of them if there are fewer, and its interval.
    p_reached, p_small : float
        Probability that the budget reaches the target, and probability that the gain is below `min_gain`.
    is_flat : bool
        Whether even the largest training set is no better than always predicting the most frequent class.
    n_sizes : int
        The curve was fitted to so many of the training sizes; with a single one, its rise is a guess.
    is_enough : bool
        Whether to stop buying labels.
    more : int
        Number of labels to buy next; 0 if there are enough.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sizes = np.array([56, 79, 112, 159, 225])
    >>> correct = rng.random((3, 5, 250)) < (1 - 2 * sizes**-0.5)[:, None]  # three repeats, 250 hold-out points
    >>> measured = Measured("random", sizes, correct, is_reused=True)
    >>> advice = advise(measured, LabelBudget(n_labels=250, target=0.8), n_points=60_000, seed=0)
    >>> advice.is_enough, advice.more, advice.p_reached > LEVEL
    (True, 0, True)
    """

    measured: Measured
    half_widths: np.ndarray
    curve: Curve
    draws: Curve
    steps: np.ndarray
    forecasts: list[Forecast]
    needed: tuple[float, float, float]
    gain: tuple[float, float, float]
    p_reached: float
    p_small: float
    is_flat: bool
    n_sizes: int
    is_enough: bool
    more: int


@dataclass(frozen=True)
class Findings:
    """The advice for each selection that a budget was spent on: the requested one first, then random labels.

    Examples
    --------
    >>> findings = Findings(LabelBudget(n_labels=500), n_bought=480, n_points=60_000, advices=[])
    >>> findings.budget.n_labels - findings.n_bought
    20
    """

    budget: LabelBudget
    n_bought: int
    n_points: int
    advices: list[Advice]


def advise(measured: Measured, budget: LabelBudget, n_points: int, seed: int) -> Advice:
    """Derive advice from measured accuracies.

    As long as a classifier only predicts the most frequent class, its accuracy stays the same, and a curve through such
    points would never rise again. The curve is fitted to the sizes from the first one that is better; where none is, to
    the largest one, and what the curve does then is left to its prior.

    Parameters
    ----------
    measured : Measured
    budget : LabelBudget
        The budget spent, with its target and its smallest worthwhile gain.
    n_points : int
        Number of training points, labelled or not.
    seed : int

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sizes = np.array([56, 79, 112, 159, 225])
    >>> correct = rng.random((3, 5, 250)) < (1 - 2 * sizes**-0.5)[:, None]  # three repeats, 250 hold-out points
    >>> measured = Measured("random", sizes, correct, is_reused=True)
    >>> advice = advise(measured, LabelBudget(n_labels=250, target=0.95), n_points=60_000, seed=0)
    >>> advice.is_enough, advice.more, [forecast.n_labels for forecast in advice.forecasts]
    (False, 250, [250, 500, 1000])
    """
    n, rng = budget.n_labels, seeds.generator(seed, f"budget/{measured.select}")
    cov = curves.covariance(measured, rng)
    half_widths = curves.Z * np.sqrt(np.diag(cov))
    is_better = measured.accuracies - half_widths > measured.floor
    is_flat = not is_better[-1]
    used = slice(int(np.argmax(is_better)), None) if not is_flat else slice(-1, None)
    spread = (cov + curves.drift(measured, n))[used, used]
    points = measured.sizes[used], measured.accuracies[used], spread, n
    curve, draws = curves.fit(*points), curves.draw_curves(*points, rng)
    sizes = list(dict.fromkeys(min(times * n, n_points) for times in AHEAD))
    steps = rng.standard_normal(draws.a.shape)
    now, *more = drawn = curves.ahead(draws, n, np.array(sizes), steps)
    double = min(2 * n, n_points)
    gains = more[0] - now if more else np.zeros_like(now)
    needed = float(curve.labels_for(budget.target)[0])
    p_reached, p_small = float(np.mean(draws.at(n) >= budget.target)), float(np.mean(gains < budget.min_gain))
    left = n_points - n
    is_enough = p_reached >= LEVEL or (p_small >= LEVEL and not is_flat) or left == 0
    wanted = ceil(needed) - n if n < needed <= 2 * n else n
    return Advice(
        measured=measured,
        half_widths=half_widths,
        curve=curve,
        draws=draws,
        steps=steps,
        forecasts=[
            Forecast(size, float(curve.at(size)), *curves.interval(values))
            for size, values in zip(sizes, drawn, strict=True)
        ],
        needed=(needed, *curves.interval(curves.labels_ahead(draws, n, budget.target, steps))),
        gain=(float(curve.at(double) - curve.at(n)), *curves.interval(gains)),
        p_reached=p_reached,
        p_small=p_small,
        is_flat=is_flat,
        n_sizes=len(points[0]),
        is_enough=is_enough,
        more=0 if is_enough else min(wanted, left),
    )
