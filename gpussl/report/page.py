"""The report page: one HTML file that shows a run, with the figures beside it."""

import html
from collections.abc import Sequence
from typing import Any

from gpussl.config import Job
from gpussl.records import Dataset, Result
from gpussl.report.tables import published, sources, title

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .25rem .8rem; text-align: right; white-space: nowrap }
th { border-bottom: 2px solid #1f6f8b } td { border-bottom: 1px solid #ddd }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left } img { max-width: 100% } footer { color: #666 }
"""
FIGURES = {
    "accuracy": "Test accuracy by training labels and classifier",
    "label_accuracy": "Share of propagated labels that are right, by distance within the cluster",
    "representatives": "The representatives whose labels were bought, by class",
}


def render(job: Job, dataset: Dataset, results: Sequence[Result], manifest: dict[str, Any]) -> str:
    """The page as HTML."""
    figures = "\n".join(
        f'<h2>{html.escape(text)}</h2>\n<img src="figures/{name}.png" alt="{html.escape(text)}">'
        for name, text in FIGURES.items()
    )
    commit = manifest["git_commit"] or "no repository"
    footer = (
        f"gpussl {manifest['versions']['gpussl']}, commit {html.escape(commit)}, seed {job.seed}, "
        f"{html.escape(results[0].device)}, {manifest['seconds']:.0f} s. The models, labels and clustering beside this "
        "page are read again with <code>gpussl.load(path)</code>."
    )
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{html.escape(job.name)}</title><style>{STYLE}</style></head>
<body>
<h1>{html.escape(job.name)}</h1>
<p>{html.escape(_summary(dataset, results))}</p>
{_table(job, dataset, results)}
<p>Published: {html.escape(sources(job))}.</p>
{figures}
<footer><p>{footer}</p></footer>
</body>
</html>
"""


def _summary(dataset: Dataset, results: Sequence[Result]) -> str:
    best = max((result for result in results if result.n_clusters is not None), key=lambda item: item.test_accuracy)
    return (
        f"{dataset.name}: {best.n_labels:,} labels were bought for {len(dataset.X_train):,} training images. Of the "
        f"rows that used them, {title(best)} with {best.classifier} did best: {best.test_accuracy:.2%} of "
        f"{len(dataset.X_test):,} test images. Picking the best row by its test accuracy flatters it a little."
    )


def _table(job: Job, dataset: Dataset, results: Sequence[Result]) -> str:
    header = ("training labels", "classifier", "bought", "used", "right", "test accuracy", "published", "fit")
    rows = ["".join(f"<th>{name}</th>" for name in header)]
    for result in results:
        entry = published(result, job, dataset.name)
        cells = (
            title(result),
            result.classifier,
            f"{result.n_labels:,}",
            f"{result.n_train:,}",
            f"{result.label_accuracy:.1%}",
            f"{result.test_accuracy:.2%}",
            "" if entry is None else f"{entry.accuracy:.2f}%",
            f"{result.fit_seconds:.1f} s",
        )
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>"
