"""What a budget of labels has shown, in words, tables and files."""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from gpussl.evaluate import learning_curve as curves
from gpussl.evaluate.advice import Advice, Findings
from gpussl.evaluate.learning_curve import LEVEL, LabelBudget
from gpussl.report.parts import File, Part, Picture, Table, Words
from gpussl.report.results import to_csv
from gpussl.report.titles import SELECTED

HEADER = ("labels by", "learnt from", "accuracy", "90 % interval")


def in_words(findings: Findings) -> list[str]:
    """The answer in sentences, that of the selection asked for first."""
    advices, budget, n_points = findings.advices, findings.budget, findings.n_points
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


def to_json(findings: Findings) -> str:
    """All that was found, for programs; what is infinite is null."""
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


def parts(name: str, findings: Findings) -> list[Part]:
    """What the task shows and writes: the answer in words, the curve, the table, and files for programs."""
    holdout = findings.advices[0].measured.correct.shape[2]
    return [
        *(Words(sentence, is_answer=True) for sentence in in_words(findings)),
        Picture("budget", "Accuracy by labels, and the curve fitted", lambda: _picture(findings)),
        Words(
            "Every number here comes from the labels bought: no test label was opened, and no other training label. "
            "Accuracies are those of the hold-out, a random sample of the data that is counted among the labels bought."
        ),
        Table(
            f"{name}: from {findings.n_bought:,} bought labels alone", HEADER, cells(findings.advices),
            f"hold-out: {holdout:,} of them, drawn at random", n_left=1,
        ),
        File("budget.json", to_json(findings)),
        File("budget.csv", to_csv(rows(findings.advices))),
    ]  # fmt: skip


def _picture(findings: Findings) -> Any:
    from gpussl.report import figures  # late: matplotlib takes a second

    lines = []
    for item in findings.advices:
        measured, last = item.measured, item.forecasts[-1].n_labels
        x = np.geomspace(measured.sizes[0], last, 200)
        low, high = np.array([curves.interval(item.draws.at(size)) for size in x]).T
        lines.append(
            figures.LearningCurve(
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
        )
    title, budget = f"Told from {findings.n_bought:,} bought labels", findings.budget
    return figures.learning_curves(title, lines, budget.n_labels, budget.target, findings.advices[0].needed)
