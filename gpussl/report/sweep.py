"""Sweeps: the results of all jobs of a Hydra multirun in one table, with means and intervals over the seeds."""

import csv
import io
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.table import Table
from scipy import stats

from gpussl import console, store
from gpussl.config import Published
from gpussl.report.tables import NAMES, find_published

FAILED = "failed.txt"  # in the folder of a job that failed: why
GROUP_BY = ("overrides", "propagation", "classifier", "n_clusters", "percentile")
Row = Mapping[str, str]


class Gather(Callback):
    """After a multirun: writes `results.csv` (all rows of all jobs) and `summary.csv` (means over the seeds).

    Names the jobs that failed, and makes the exit code 2 then.
    """

    def on_multirun_end(self, config: DictConfig, **kwargs: object) -> None:
        """Gather what the jobs have left in the sweep's folder."""
        folder = Path(config.hydra.sweep.dir)
        rows = read_jobs(folder)
        if rows:
            summary = summarize(rows)
            store.write_text(folder / "results.csv", _to_csv(rows))
            store.write_text(folder / "summary.csv", _to_csv(summary))
            console.stdout.print(summary_table(summary))
            console.stdout.print(f"Sweep folder: {folder.resolve()}", markup=False, soft_wrap=True)
        failed = sorted(path.parent.name for path in folder.glob(f"*/{FAILED}"))
        if failed:
            console.say(f"gpussl: error: {len(failed)} of the sweep's jobs failed: {', '.join(failed)} in {folder}")
            sys.exit(2)


def read_jobs(folder: Path) -> list[dict[str, str]]:
    """The rows of every job under a sweep's folder, each with the overrides that made it differ, its seed apart."""
    jobs = []
    for path in sorted(folder.glob("*/results.csv"), key=lambda path: (len(path.parent.name), path.parent.name)):
        given = [str(item) for item in OmegaConf.load(path.parent / ".hydra" / "overrides.yaml")]
        jobs.append((path, [item for item in given if not item.startswith("seed=")]))
    common = set[str].intersection(*(set(overrides) for _, overrides in jobs)) if jobs else set()
    rows = []
    for path, overrides in jobs:
        differing = " ".join(item for item in overrides if item not in common)
        with path.open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        cfg = OmegaConf.load(path.parent / "config.yaml")
        about = {"job": path.parent.name, "overrides": differing}
        rows += [{**about, **row, "published": _published(cfg, row)} for row in found]
    return rows


def summarize(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One row for each way of training: means over its seeds, and the half width of the 95 % interval (Student's t)."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP_BY), []).append(row)
    summary = []
    for key, members in groups.items():
        means = {
            name: statistics.fmean(float(row[name]) for row in members)
            for name in ("n_labels", "n_train", "label_accuracy", "test_accuracy", "fit_seconds")
        }
        half = half_width([float(row["test_accuracy"]) for row in members])
        summary.append(
            {
                **dict(zip(GROUP_BY, key, strict=True)),
                "n_seeds": str(len(members)),
                "n_labels": f"{means['n_labels']:.0f}",
                "n_train": f"{means['n_train']:.0f}",
                "label_accuracy": f"{means['label_accuracy']:.6f}",
                "test_accuracy": f"{means['test_accuracy']:.6f}",
                "half_width": "" if half is None else f"{half:.6f}",
                "published": members[0]["published"],
                "fit_seconds": f"{means['fit_seconds']:.3f}",
            }
        )
    return summary


def half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % confidence interval of the mean of `values`; None for a single one."""
    n = len(values)
    if n < 2:
        return None
    return float(stats.t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5


def summary_table(summary: Sequence[Row]) -> Table:
    """The summary for the terminal."""
    table = Table(title="Sweep: test accuracy, mean over seeds with its 95 % interval")
    with_overrides = any(row["overrides"] for row in summary)
    for column in (*(["overrides"] if with_overrides else []), "training labels", "classifier"):
        table.add_column(column)
    for column in ("clusters", "percentile", "bought", "right", "test accuracy", "published", "seeds", "fit"):
        table.add_column(column, justify="right")
    for row in summary:
        interval = f" ± {100 * float(row['half_width']):.2f}" if row["half_width"] else ""
        table.add_row(
            *([escape(row["overrides"])] if with_overrides else []),
            NAMES.get(row["propagation"], escape(row["propagation"])),
            row["classifier"],
            row["n_clusters"],
            row["percentile"],
            row["n_labels"],
            f"{100 * float(row['label_accuracy']):.1f} %",
            f"{100 * float(row['test_accuracy']):.2f}{interval} %",
            f"{row['published']} %" if row["published"] else "",
            row["n_seeds"],
            f"{float(row['fit_seconds']):.1f} s",
        )
    return table


def _published(cfg: Any, row: Row) -> str:
    """The published accuracy of the same row in percent, or nothing."""
    numbers = {
        "n_clusters": int(row["n_clusters"]) if row["n_clusters"] else None,
        "n_labels": int(row["n_labels"]),
        "percentile": float(row["percentile"]) if row["percentile"] else None,
    }
    entries = [Published(**entry) for entry in cfg.published]
    found = find_published(entries, cfg.data.name, cfg.select._target_.rpartition(".")[2], {**row, **numbers})
    return "" if found is None else f"{found.accuracy:.2f}"


def _to_csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
