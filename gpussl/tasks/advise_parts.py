"""The report of the task advise."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from gpussl.evaluate import learning_curve as curves
from gpussl.evaluate.advice import Advice, Findings, Forecast
from gpussl.evaluate.learning_curve import LEVEL, LabelBudget
from gpussl.report.parts import File, Part, Picture, Table, Words
from gpussl.report.results import to_csv
from gpussl.report.titles import SELECTED

HEADER = ("selection", "training labels", "accuracy", "90 % interval")


def in_words(findings: Findings) -> list[str]:
    """Return the answer in sentences.

    Examples
    --------
    >>> from gpussl.evaluate.advice import advise
    >>> correct = np.arange(100) < np.array([[60], [70], [75]])  # for each of 100 hold-out points
    >>> measured = curves.Measured("random", np.array([25, 50, 90]), correct[None], is_reused=True)
    >>> budget = LabelBudget(n_labels=100)
    >>> findings = Findings(budget, 100, 1000, [advise(measured, budget, 1000, seed=0)])
    >>> for sentence in in_words(findings):
    ...     print(sentence)
    An accuracy of 85 % takes more than all 1,000 random labels (90 % interval: 120 to more than all 1,000). The
    forecast is 76.2 % with 100 labels (90 % interval: 68.4 to 83.8) and 79.9 % with 200 labels (90 % interval: 71.6 to
    87.8), for points drawn like the labelled ones.
    Go on, buy 100 more: twice the labels would add 3.7 points (90 % interval: 1.3 to 6.9); they add less than 1 with a
    probability of only 0.02.
    """
    advices, budget, n_points = findings.advices, findings.budget, findings.n_points
    advice = advices[0]
    now, *ahead = advice.forecasts
    by = "random labels" if advice.measured.select == "random" else f"labels chosen by {advice.measured.select}"
    sentences = [
        f"{labels_needed(advice, budget.target, by, n_points)} The forecast is {_forecast(now)}"
        f"{f' and {_forecast(ahead[0])}' if ahead else ''}, for points drawn like the labelled ones.",
        _decision(advice, budget, n_points),
    ]
    if advice.is_flat:
        sentences.insert(
            0,
            f"With {advice.measured.sizes[-1]:,} labels the classifier is not yet better than always predicting the "
            f"most frequent class ({100 * advice.measured.floor:.1f} %), so they say little about what more would do.",
        )
    if len(advices) > 1:
        mean, low, high = curves.paired_difference(advice.measured, advices[1].measured)
        size = advice.measured.sizes[-1]
        sentences.append(
            f"With {size:,} labels, the accuracy of {advice.measured.select} minus that of random labels is "
            f"{100 * mean:+.1f} points (90 % interval: {100 * low:+.1f} to {100 * high:+.1f})."
        )
    return sentences


def labels_needed(advice: Advice, target: float, by: str, n_points: int) -> str:
    """Return how many labels reach the target that the advice is about, in words.

    Parameters
    ----------
    target : float
        The accuracy, as a share.
    by : str
        What labels they are.

    Examples
    --------
    >>> from gpussl.tasks.example import advice
    >>> print(labels_needed(advice(), 0.85, "labels like these", 1000))  # doctest: +ELLIPSIS
    An accuracy of 85 % takes ... labels like these (90 % interval: ... to ...).
    """
    needed, low, high = advice.needed
    aim = f"An accuracy of {100 * target:g} %"
    among = f"{_rounded(low, n_points)} to {_rounded(high, n_points)}" if low <= n_points else "above that"
    if isfinite(needed):
        return (
            f"{aim} takes {'about ' * (needed <= n_points)}{_rounded(needed, n_points)} {by} (90 % interval: {among})."
        )
    limit = f"{aim} is beyond the fitted curve: its limit with {by} is {100 * float(advice.curve.a):.2f} %"
    return f"{limit}; other plausible curves reach it (90 % interval: {among})." if low <= n_points else f"{limit}."


def _decision(advice: Advice, budget: LabelBudget, n_points: int) -> str:
    gain, low, high = (100 * value for value in advice.gain)
    all_of_them = 2 * budget.n_labels > n_points
    more = f"all {n_points:,} labels" if all_of_them else "twice the labels"
    twice = f"{more} would add {gain:.1f} points (90 % interval: {low:.1f} to {high:.1f})"
    if budget.n_labels >= n_points:
        return f"Stop: all {n_points:,} labels are bought."
    if advice.p_reached >= LEVEL:
        return f"Stop: the target is reached with probability {advice.p_reached:.2f}; {twice}."
    if advice.p_small >= LEVEL:
        return f"Stop: {twice}; they add less than {100 * budget.min_gain:g} with probability {advice.p_small:.2f}."
    return (
        f"Go on, buy {advice.more:,} more: {twice}; they add less than {100 * budget.min_gain:g} with a probability of "
        f"only {advice.p_small:.2f}."
    )


def _forecast(item: Forecast) -> str:
    return f"{100 * item.accuracy:.1f} % with {item.n_labels:,} labels ({_percent(item.low, item.high)})"


def _percent(low: float, high: float) -> str:
    return f"90 % interval: {100 * low:.1f} to {100 * high:.1f}"


def _rounded(labels: float, n_points: int) -> str:
    """A number of labels in words, rounded to two digits."""
    if labels > n_points:
        return f"more than all {n_points:,}"
    return f"{float(f'{labels:.2g}'):,.0f}"


def to_json(findings: Findings) -> str:
    """Return all findings as JSON, with null for infinity.

    Examples
    --------
    >>> from gpussl.evaluate.advice import advise
    >>> correct = np.arange(100) < np.array([[60], [70], [75]])  # for each of 100 hold-out points
    >>> measured = curves.Measured("random", np.array([25, 50, 90]), correct[None], is_reused=True)
    >>> budget = LabelBudget(n_labels=100)
    >>> findings = Findings(budget, 100, 1000, [advise(measured, budget, 1000, seed=0)])
    >>> json.loads(to_json(findings))["selections"][0]["measured"][0]["accuracy"]
    0.6
    """
    advices, budget = findings.advices, findings.budget
    described = {
        "answer": in_words(findings),
        "level": LEVEL,
        "target": budget.target,
        "min_gain": budget.min_gain,
        "labels": {
            "budget": budget.n_labels,
            "bought": findings.n_bought,
            "hold-out": advices[0].measured.correct.shape[2],
            "training points": findings.n_points,
        },
        "selections": [_described(advice) for advice in advices],
    }
    return json.dumps(described, indent=1, allow_nan=False) + "\n"


def _described(advice: Advice) -> dict[str, Any]:
    curve, needed = advice.curve, [value if isfinite(value) else None for value in advice.needed]
    return {
        "select": advice.measured.select,
        "cross_validated": advice.measured.is_reused,
        "measured": [
            {"labels": int(size), "accuracy": float(accuracy), "half_width": float(half)}
            for size, accuracy, half in zip(
                advice.measured.sizes, advice.measured.accuracies, advice.half_widths, strict=True
            )
        ],
        "curve": {"form": "a - b * n ** -c", "a": float(curve.a), "b": float(curve.b), "c": float(curve.c)},
        "forecasts": [
            {"labels": item.n_labels, "accuracy": item.accuracy, "low": item.low, "high": item.high}
            for item in advice.forecasts
        ],
        "needed": dict(zip(("labels", "low", "high"), needed, strict=True)),
        "gain_of_doubling": dict(zip(("accuracy", "low", "high"), advice.gain, strict=True)),
        "probability_reached": advice.p_reached,
        "probability_gain_is_small": advice.p_small,
        "most_frequent_class": advice.measured.floor,
        "no_better_than_most_frequent_class": advice.is_flat,
        "stop": advice.is_enough,
        "buy": advice.more,
    }


def rows(advices: Sequence[Advice]) -> list[Mapping[str, object]]:
    """Return the hold-out accuracy for each selection, size and repeat, for CSV.

    Examples
    --------
    >>> from gpussl.evaluate.advice import advise
    >>> correct = np.arange(100) < np.array([[60], [70], [75]])  # for each of 100 hold-out points
    >>> measured = curves.Measured("random", np.array([25, 50, 90]), correct[None], is_reused=True)
    >>> budget = LabelBudget(n_labels=100)
    >>> findings = Findings(budget, 100, 1000, [advise(measured, budget, 1000, seed=0)])
    >>> rows(findings.advices)[0]
    {'select': 'random', 'n_labels': 25, 'repeat': 0, 'n_holdout': 100, 'accuracy': '0.600000'}
    """
    return [
        {
            "select": advice.measured.select,
            "n_labels": int(size),
            "repeat": repeat,
            "n_holdout": hits.shape[1],
            "accuracy": f"{hits[place].mean():.6f}",
        }
        for advice in advices
        for repeat, hits in enumerate(advice.measured.correct)
        for place, size in enumerate(advice.measured.sizes)
    ]


def cells(advices: Sequence[Advice]) -> list[tuple[str, ...]]:
    """Return measurements and forecasts for people, with the columns of `HEADER`.

    Examples
    --------
    >>> from gpussl.evaluate.advice import advise
    >>> correct = np.arange(100) < np.array([[60], [70], [75]])  # for each of 100 hold-out points
    >>> measured = curves.Measured("random", np.array([25, 50, 90]), correct[None], is_reused=True)
    >>> budget = LabelBudget(n_labels=100)
    >>> findings = Findings(budget, 100, 1000, [advise(measured, budget, 1000, seed=0)])
    >>> [row[:3] for row in cells(findings.advices)[:2]]
    [('random', '25', '60.0 %'), ('random', '50', '70.0 %')]
    """
    found = []
    for advice in advices:
        measured = zip(advice.measured.sizes, advice.measured.accuracies, advice.half_widths, strict=True)
        for size, accuracy, half in measured:
            found.append((advice.measured.select, f"{size:,}", accuracy, accuracy - half, min(accuracy + half, 1.0)))
        for item in advice.forecasts:
            found.append((advice.measured.select, f"{item.n_labels:,} (forecast)", item.accuracy, item.low, item.high))
    return [
        (select, size, f"{100 * accuracy:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}")
        for select, size, accuracy, low, high in found
    ]


def parts(name: str, findings: Findings) -> list[Part]:
    """Return the report: the answer in words, the curve, the table, and files for programs.

    Examples
    --------
    >>> from gpussl.evaluate.advice import advise
    >>> correct = np.arange(100) < np.array([[60], [70], [75]])  # for each of 100 hold-out points
    >>> measured = curves.Measured("random", np.array([25, 50, 90]), correct[None], is_reused=True)
    >>> budget = LabelBudget(n_labels=100)
    >>> findings = Findings(budget, 100, 1000, [advise(measured, budget, 1000, seed=0)])
    >>> [part.name for part in parts("mine", findings) if isinstance(part, File)]
    ['budget.json', 'budget.csv']
    """
    holdout = findings.advices[0].measured.correct.shape[2]
    return [
        *(Words(sentence, is_answer=True) for sentence in in_words(findings)),
        Picture("budget", "Accuracy by number of labels, and the fitted curve", partial(_picture, findings)),
        Words(
            "Every number comes from the bought labels: no test label and no other training label was opened. "
            "Accuracies are measured on the hold-out, a random sample of the data that counts as bought."
        ),
        Table(
            f"{name}: estimated from {findings.n_bought:,} bought labels alone", HEADER, cells(findings.advices),
            f"hold-out: {holdout:,} of the bought labels, drawn at random", n_left=1,
        ),
        File("budget.json", to_json(findings)),
        File("budget.csv", to_csv(rows(findings.advices))),
    ]  # fmt: skip


def curve_of(item: Advice, figures: Any) -> Any:
    """Return a learning curve as `gpussl.report.figures`, which is given, draws it.

    >>> from gpussl.report import figures
    >>> from gpussl.tasks.example import advice
    >>> curve_of(advice(), figures).name
    'random labels'
    """
    measured, now, last = item.measured, item.forecasts[0].n_labels, item.forecasts[-1].n_labels
    x = np.geomspace(measured.sizes[0], last, 200)
    drawn = curves.ahead(item.draws, now, x, item.steps)
    low, high = np.array([curves.interval(values) for values in drawn]).T
    return figures.LearningCurve(
        name=SELECTED.get(measured.select, measured.select),
        sizes=measured.sizes,
        accuracies=measured.accuracies,
        half_widths=item.half_widths,
        x=x,
        fitted=item.curve.at(x),
        low=low,
        high=high,
        forecasts=[forecast.n_labels for forecast in item.forecasts],
    )


def _picture(findings: Findings, figures: Any) -> Any:
    lines = [curve_of(item, figures) for item in findings.advices]
    title, budget = f"Estimated from {findings.n_bought:,} bought labels", findings.budget
    return figures.learning_curves(title, lines, budget.n_labels, budget.target, findings.advices[0].needed)
