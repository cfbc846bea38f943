"""Advice: what accuracies measured with bought labels say of buying more."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from gpussl import seeds
from gpussl.evaluate import learning_curve as curves
from gpussl.evaluate.learning_curve import LEVEL, Curve, LabelBudget, Measured

AHEAD = (1, 2, 4)  # multiples of the budget that accuracies are forecast for


@dataclass(frozen=True)
class Forecast:
    """The accuracy to expect with n labels, as a share, and the interval that it lies in with probability `LEVEL`."""

    n_labels: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Advice:
    """What one selection's curve says.

    Attributes
    ----------
    measured : Measured
    half_widths : (s,) array
        Half the intervals of the accuracies measured.
    curve, draws : Curve
        The one that fits best, and many that are as likely as the points make them.
    forecasts : list of Forecast
    needed : tuple of float
        The labels that reach the target, and their interval: infinite where it is not reached.
    gain : tuple of float
        What twice the labels add, and its interval.
    p_reached, p_small : float
        The probabilities that the budget reaches the target, and that the gain is below what is worth it.
    is_enough : bool
        Stop.
    more : int
        Labels to buy else.
    """

    measured: Measured
    half_widths: np.ndarray
    curve: Curve
    draws: Curve
    forecasts: list[Forecast]
    needed: tuple[float, float, float]
    gain: tuple[float, float, float]
    p_reached: float
    p_small: float
    is_enough: bool
    more: int


@dataclass(frozen=True)
class Findings:
    """What a budget was spent on and has shown: of the selection asked for first, and beside it of random labels."""

    budget: LabelBudget
    n_bought: int
    n_points: int
    advices: list[Advice]


def advise(measured: Measured, budget: LabelBudget, n_points: int, seed: int) -> Advice:
    """What follows from accuracies measured, for a budget spent on some of `n_points` training points."""
    n, rng = budget.n_labels, seeds.generator(seed, f"budget/{measured.select}")
    cov = curves.covariance(measured, rng)
    points = measured.sizes, measured.accuracies, cov + curves.drift(measured, n), n
    curve, draws = curves.fit(*points), curves.draw_curves(*points, rng)
    gains = draws.at(2 * n) - draws.at(n)
    needed = float(curve.labels_for(budget.target)[0])
    p_reached, p_small = float(np.mean(draws.at(n) >= budget.target)), float(np.mean(gains < budget.min_gain))
    left = n_points - n
    is_enough = max(p_reached, p_small) >= LEVEL or left == 0
    wanted = ceil(needed) - n if n < needed <= 2 * n else n
    return Advice(
        measured=measured,
        half_widths=curves.Z * np.sqrt(np.diag(cov)),
        curve=curve,
        draws=draws,
        forecasts=[
            Forecast(times * n, float(curve.at(times * n)), *curves.interval(draws.at(times * n))) for times in AHEAD
        ],
        needed=(needed, *curves.interval(draws.labels_for(budget.target))),
        gain=(float(curve.at(2 * n) - curve.at(n)), *curves.interval(gains)),
        p_reached=p_reached,
        p_small=p_small,
        is_enough=is_enough,
        more=0 if is_enough else min(wanted, left),
    )
