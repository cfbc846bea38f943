"""The report page: one HTML file that shows a run, with the figures beside it."""

import html
from collections.abc import Collection, Sequence
from typing import Any

from gpussl.records import Dataset, Result
from gpussl.report.tables import HEADER, cells, result_title, sources
from gpussl.runtime.config import TEST_STOPPED, Job

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .8rem; text-align: right; white-space: nowrap }
th { border-bottom: 2px solid #1f6f8b } td { border-bottom: 1px solid #ddd }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left } img { max-width: 100% } footer { color: #666 }
"""
FIGURES = {
    "accuracy": "Test accuracy by training labels and classifier",
    "allocations": "Scores of all ways to name the clusters",
    "clusters": "The largest clusters: the mean of each, and nine members",
    "label_accuracy": "Share of propagated labels that are right, by distance within the cluster",
    "calibration": "Share of propagated labels that are right, by their weight",
    "bought": "The points whose labels were bought, by class",
}


def render(
    job: Job, dataset: Dataset, results: Sequence[Result], drawn: Collection[str], manifest: dict[str, Any]
) -> str:
    """The page as HTML, with those of `FIGURES` that were drawn."""
    figures = "\n".join(
        f'<h2>{html.escape(text)}</h2>\n<img src="figures/{name}.png" alt="{html.escape(text)}">'
        for name, text in FIGURES.items()
        if name in drawn
    )
    commit = manifest["git_commit"] or "no repository"
    footer = (
        f"gpussl {manifest['versions']['gpussl']}, commit {html.escape(commit)}, seed {job.seed}, "
        f"{html.escape(results[0].device)}, {manifest['seconds']:.0f} s. The models, labels and clustering beside this "
        "page are read again with <code>gpussl.load(path)</code>."
    )
    body = f"""<p>{html.escape(_summary(dataset, results))}</p>
{_table(HEADER, [cells(result, job, dataset) for result in results])}
<p>Published: {html.escape(sources(job))}.</p>
{figures}
<footer><p>{footer}</p></footer>"""
    return _page(job.name, body)


def render_budget(
    job: Job, answer: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]], manifest: dict[str, Any]
) -> str:
    """The page of a run that asked how many labels are needed: the answer in words, the figure, the table."""
    words = "\n".join(f"<p><strong>{html.escape(sentence)}</strong></p>" for sentence in answer)
    made_with = (
        f"gpussl {manifest['versions']['gpussl']}, commit {manifest['git_commit'] or 'no repository'}, "
        f"{manifest['data']['name']}, {', '.join(job.classifier)}, seed {job.seed}, {manifest['seconds']:.0f} s."
    )
    body = f"""{words}
<img src="figures/budget.png" alt="Accuracy by labels, and the curve fitted">
<p>Every number here comes from the labels bought: no test label was opened, and no other training label. Accuracies are
those of the hold-out, a random sample of the data that is counted among the labels bought.</p>
{_table(header, rows)}
<footer><p>{html.escape(made_with)}</p></footer>"""
    return _page(job.name, body)


def render_sweep(
    name: str,
    words: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    status: Sequence[tuple[str, str]],
    *,
    has_curve: bool,
) -> str:
    """The page of a sweep: some words, its table, its curve, and for each job its folder and what became of it."""
    curve = '<img src="figures/curve.png" alt="Test accuracy over the sweep">' if has_curve else ""
    links = [
        f'<li><a href="{html.escape(job)}/report.html">{html.escape(job)}</a>: {html.escape(state)}</li>'
        for job, state in status
    ]
    body = f"""<p>{html.escape(words)}</p>
{_table(header, rows)}
{curve}
<h2>Jobs</h2>
<ul>
{chr(10).join(links)}
</ul>"""
    return _page(f"{name}: sweep", body)


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head>
<body>
<h1>{html.escape(title)}</h1>
{body}
</body>
</html>
"""


def _summary(dataset: Dataset, results: Sequence[Result]) -> str:
    fair = [
        result
        for result in results
        if result.propagation != "best_allocation" and not result.classifier.endswith(TEST_STOPPED)
    ]
    if not fair:
        return (
            f"{dataset.name}: every row here was made with labels that were not bought; none says how good it is on "
            "unseen data."
        )
    with_clusters = [result for result in fair if result.n_clusters is not None]
    best = max(with_clusters or fair, key=lambda item: item.test_accuracy)
    return (
        f"{dataset.name}: {best.n_labels:,} labels were bought for {len(dataset.X_train):,} training images. Of the "
        f"rows that used them, {result_title(best)} with {best.classifier} did best: {best.test_accuracy:.2%} of "
        f"{len(dataset.X_test):,} test images. Picking the best row by its test accuracy flatters it a little."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{html.escape(name)}</th>" for name in header)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"
