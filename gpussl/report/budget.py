"""What a budget of labels has shown, in words, tables and files."""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from rich.table import Table

from gpussl.evaluate import learning_curve as curves
from gpussl.evaluate.learning_curve import LEVEL, LabelBudget
from gpussl.tasks.advise import Advice, Outcome

HEADER = ("labels by", "learnt from", "accuracy", "90 % interval")


def in_words(outcome: Outcome) -> list[str]:
    """The answer in sentences, that of the selection asked for first."""
    advices, budget, n_points = outcome.advices, outcome.budget, outcome.n_points
    advice = advices[0]
    n, now, double = budget.n_labels, advice.forecasts[0], advice.forecasts[1]
    by = "random labels" if advice.measured.select == "random" else f"labels chosen by {advice.measured.select}"
    sentences = [
        f"{_labels_needed(advice, budget, by, n_points)} With {n:,} of them {100 * now.accuracy:.1f} % is to be "
        f"expected ({_percent(now.low, now.high)}), and with {double.n_labels:,} {100 * double.accuracy:.1f} % "
        f"({_percent(double.low, double.high)}).",
        _decision(advice, budget, n_points),
    ]
    if len(advices) > 1:
        mean, low, high = curves.paired_difference(advice.measured, advices[1].measured)
        size = advice.measured.sizes[-1]
        sentences.append(
            f"With {size:,} labels, {advice.measured.select} was {100 * mean:+.1f} points from as many random labels "
            f"(90 %: {100 * low:+.1f} to {100 * high:+.1f})."
        )
    return sentences


def _labels_needed(advice: Advice, budget: LabelBudget, by: str, n_points: int) -> str:
    needed, low, high = advice.needed
    aim = f"{100 * budget.target:g} %"
    among = f"90 %: {_rounded(low, n_points)} to {_rounded(high, n_points)}" if low <= n_points else "90 %: no fewer"
    if isfinite(needed):
        return f"{aim} takes {'about ' * (needed <= n_points)}{_rounded(needed, n_points)} {by} ({among})."
    limit = f"{aim} is not reachable by this curve: {by} lead to {100 * float(advice.curve.a):.2f} % at most"
    return f"{limit}; others that may be right reach it ({among})." if low <= n_points else f"{limit}."


def _decision(advice: Advice, budget: LabelBudget, n_points: int) -> str:
    gain, low, high = (100 * value for value in advice.gain)
    twice = f"twice the labels would add {gain:.1f} points (90 %: {low:.1f} to {high:.1f})"
    if advice.p_reached >= LEVEL:
        return f"Stop: the target is reached with probability {advice.p_reached:.2f}; {twice}."
    if advice.p_small >= LEVEL:
        return f"Stop: {twice}, less than {100 * budget.min_gain:g} with probability {advice.p_small:.2f}."
    if advice.is_enough:
        return f"Stop: all {n_points:,} labels are bought."
    return (
        f"Go on, buy {advice.more:,} more: {twice}, and that this is less than {100 * budget.min_gain:g} has a "
        f"probability of {advice.p_small:.2f} only."
    )


def _percent(low: float, high: float) -> str:
    return f"90 %: {100 * low:.1f} to {100 * high:.1f}"


def _rounded(labels: float, n_points: int) -> str:
    """A number of labels for people, to two digits."""
    if labels > n_points:
        return f"more than the {n_points:,}"
    return f"{float(f'{labels:.2g}'):,.0f}"


def to_json(outcome: Outcome) -> str:
    """All that was found, for programs; what is infinite is null."""
    advices, budget = outcome.advices, outcome.budget
    described = {
        "answer": in_words(outcome),
        "level": LEVEL,
        "target": budget.target,
        "min_gain": budget.min_gain,
        "labels": {
            "budget": budget.n_labels,
            "bought": outcome.n_bought,
            "hold-out": advices[0].measured.correct.shape[2],
            "training points": outcome.n_points,
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
        "stop": advice.is_enough,
        "buy": advice.more,
    }


def rows(advices: Sequence[Advice]) -> list[Mapping[str, object]]:
    """A row for each selection, size and repeat: the accuracy on the hold-out."""
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
    """What was measured and what is forecast, for people, under `HEADER`."""
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


def table(outcome: Outcome, name: str) -> Table:
    """The same for the terminal."""
    shown = Table(
        title=f"{name}: from {outcome.n_bought:,} bought labels alone",
        caption=f"hold-out: {outcome.advices[0].measured.correct.shape[2]:,} of them, drawn at random",
    )
    for index, column in enumerate(HEADER):
        shown.add_column(column, justify="left" if index < 1 else "right")
    for row in cells(outcome.advices):
        shown.add_row(*row)
    return shown
