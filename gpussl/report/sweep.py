"""Sweeps: the results of all jobs of a Hydra multirun in one table, with means and intervals over seeds."""

import csv
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich import box
from rich.table import Table as RichTable
from scipy import stats

from gpussl.errors import GpusslError, StoreError
from gpussl.records import MOST_FREQUENT
from gpussl.report import figures, page
from gpussl.report.jobs import SweepJob, check_folders, clear, registered, write
from gpussl.report.manifest import CONFIG
from gpussl.report.parts import Links, Part, Picture, Table, Words
from gpussl.report.results import to_csv
from gpussl.report.titles import title
from gpussl.runtime import console
from gpussl.studies.published import Published, find

RESULTS, SUMMARY, PAGE, CURVE = FILES = ("results.csv", "summary.csv", "report.html", "figures/curve.png")
GROUP_BY = ("overrides", "select", "propagation", "classifier", "n_clusters", "percentile")
# x of the curve: the first of these with several values
CURVES = {"n_labels": "labels bought", "percentile": "percentile", "n_clusters": "clusters"}
SETTINGS = {"n_labels": ("n_labels", "n_clusters"), "percentile": ("percentile",), "n_clusters": ("n_clusters",)}
ALWAYS = ("training labels", "test accuracy %")  # columns that are shown even if all their cells are equal
Row = Mapping[str, str]


def finish(folder: Path) -> None:
    """Gather the registered jobs of the sweep, and print their table.

    Raises
    ------
    GpusslError
        Jobs have failed or are missing, which the message names, or their results do not form a table.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     finish(Path(folder))
    Traceback (most recent call last):
    gpussl.errors.GpusslError: hydra.sweep: expected jobs, found none that has started; see the messages above
    """
    jobs = registered(folder)
    if not jobs:
        raise GpusslError("hydra.sweep: expected jobs, found none that has started; see the messages above")
    check_folders(jobs)
    problems = {job.name: job.problem for job in jobs}
    try:
        summary = gather(folder, jobs, problems)
    except (LookupError, ValueError, TypeError, AttributeError, csv.Error, OmegaConfBaseException) as error:
        raise StoreError(
            f"{folder}: expected results of all jobs that make one table, found some that do not "
            f"({type(error).__name__}: {' '.join(str(error).split())}); run the sweep in another folder"
        ) from error
    with console.warning("printing"):
        if summary:
            console.stdout.print(summary_table(summary))
        elif not all(problems.values()):
            console.say("the jobs have no results for a common table; each has its own report")
        console.stdout.print(f"Sweep folder: {folder.resolve()}", soft_wrap=True)
    failed = [job for job in jobs if problems[job.name]]
    for job in failed:
        console.say(f"  {' '.join(job.overrides)}: {problems[job.name]}")
    lost = sorted(set(range(jobs[-1].number)) - {job.number for job in jobs})
    if lost:
        raise GpusslError(f"jobs {', '.join(map(str, lost))} of the sweep have not started; run the sweep again")
    if failed:
        names = ", ".join(job.name for job in failed)
        raise GpusslError(f"{len(failed)} of the sweep's jobs failed: {names} in {folder}")


def gather(folder: Path, jobs: Sequence[SweepJob], problems: Mapping[str, str]) -> list[dict[str, str]]:
    """Write the tables, curve and page of a sweep from the folders of its jobs, and return the rows of the summary.

    Parameters
    ----------
    folder : Path
    jobs : sequence of SweepJob
    problems : dict of str to str
        By the name of a job, why it has no results; empty if it has.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gather(Path(folder), jobs=[], problems={})
    []
    """
    finished = [job for job in jobs if not problems[job.name]]
    rows = read_jobs(finished)
    summary = summarize(rows)
    clear(folder, FILES)  # left by an earlier sweep
    if not rows:
        return []
    write(folder, RESULTS, to_csv(rows))
    write(folder, SUMMARY, to_csv(summary))
    with console.warning("the page"):
        _write_page(folder, OmegaConf.load(finished[0].folder / CONFIG).name, summary, problems)
    return summary


def read_jobs(jobs: Sequence[SweepJob]) -> list[dict[str, str]]:
    """Return the rows of finished jobs, each with the overrides, without the seed, that distinguish its job.

    Examples
    --------
    >>> import tempfile
    >>> from gpussl.runtime import store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     jobs = [SweepJob(n, Path(folder) / str(n), str(n), ("data=digits", f"views={n + 1}")) for n in range(2)]
    ...     for job in jobs:
    ...         store.write_text(job.folder / CONFIG, "{data: {name: digits}, published: []}")
    ...         store.write_text(job.folder / RESULTS, "n_clusters,n_labels,percentile\\n,50,\\n")
    ...     [(row["overrides"], row["n_labels"]) for row in read_jobs(jobs)]
    [('views=1', '50'), ('views=2', '50')]
    """
    finished = [job for job in jobs if (job.folder / RESULTS).is_file()]  # other tasks have no results
    given = [[item for item in job.overrides if not item.startswith("seed=")] for job in finished]
    common = set[str].intersection(*map(set, given)) if given else set()
    rows = []
    for job, overrides in zip(finished, given, strict=True):
        differing = [item for item in overrides if item not in common]
        # nothing but the data changes how often the most frequent class is right
        of_data = [item for item in differing if item.startswith("data")]
        with (job.folder / RESULTS).open(newline="", encoding="utf-8") as file:
            found = list(csv.DictReader(file))
        cfg = OmegaConf.load(job.folder / CONFIG)
        for row in found:
            items = of_data if row.get("classifier") == MOST_FREQUENT else differing
            rows.append({"job": job.name, "overrides": " ".join(items), **row, **_published(cfg, row)})
    return rows


def summarize(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Return one row for each setting: means over seeds, and half the 95 % interval of the accuracy (Student's t).

    Examples
    --------
    >>> row = dict.fromkeys((*GROUP_BY, "row", "published", "device", "train_accuracy"), "")
    >>> row |= dict.fromkeys(("balanced_accuracy", "only_class"), "")
    >>> row |= dict.fromkeys(("n_labels", "n_train", "label_accuracy", "fit_seconds", "predict_seconds"), "1")
    >>> rows = [row | {"seed": str(seed), "test_accuracy": f"0.{80 + seed}"} for seed in range(3)]
    >>> [(item["test_accuracy"], item["half_width"], item["n_seeds"]) for item in summarize(rows)]
    [('0.810000', '0.024841', '3')]
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in GROUP_BY), []).append(row)
    summary = []
    for key, members in groups.items():
        means = {
            name: statistics.fmean(float(row[name]) for row in members)
            for name in ("n_labels", "n_train", "test_accuracy", "fit_seconds", "predict_seconds")
        }
        half = half_width([float(row["test_accuracy"]) for row in members])
        summary.append(
            {
                **dict(zip(GROUP_BY, key, strict=True)),
                "n_seeds": str(len({row["seed"] for row in members})),
                "n_labels": f"{means['n_labels']:.0f}",
                "n_train": f"{means['n_train']:.0f}",
                "label_accuracy": _mean_of_known(members, "label_accuracy"),
                "test_accuracy": f"{means['test_accuracy']:.6f}",
                "half_width": "" if half is None else f"{half:.6f}",
                "row": members[0]["row"],
                "published": members[0]["published"],
                "fit_seconds": f"{means['fit_seconds']:.3f}",
                "predict_seconds": f"{means['predict_seconds']:.3f}",
                "device": members[0]["device"],
                "train_accuracy": _mean_of_known(members, "train_accuracy"),
                "balanced_accuracy": _mean_of_known(members, "balanced_accuracy"),
                "only_class": ", ".join(sorted({row["only_class"] for row in members if row["only_class"]})),
            }
        )
    return summary


def _mean_of_known(rows: Sequence[Row], name: str) -> str:
    """The mean of the cells of a column that are not empty."""
    known = [float(row[name]) for row in rows if row[name]]
    return f"{statistics.fmean(known):.6f}" if known else ""


def half_width(values: Sequence[float]) -> float | None:
    """Return half the 95 % confidence interval of the mean of `values` (Student's t); None for a single value.

    Examples
    --------
    >>> round(half_width([0.80, 0.81, 0.82]), 4)
    0.0248
    """
    n = len(values)
    if n < 2:
        return None
    return float(stats.t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5


def summary_table(summary: Sequence[Row]) -> RichTable:
    """Return the summary as a table for the terminal. The caption has the columns with equal cells.

    Examples
    --------
    >>> row = {"select": "random", "propagation": "none", "classifier": "knn", "n_clusters": "", "percentile": ""}
    >>> row |= {"n_labels": "50", "label_accuracy": "1", "test_accuracy": "0.9", "half_width": "", "published": ""}
    >>> row |= {"n_seeds": "1", "fit_seconds": "0.1", "overrides": "classifier.knn.n_neighbors=1"}
    >>> row |= {"balanced_accuracy": "0.9"}
    >>> other = row | {"overrides": "classifier.knn.n_neighbors=3", "test_accuracy": "0.8"}
    >>> table = summary_table([row, other])
    >>> [str(column.header) for column in table.columns]
    ['n_neighbors', 'training labels', 'test accuracy %']
    >>> table.caption
    'all rows: classifier knn, bought 50, correct % 100.0, balanced % 90.00, seeds 1, fit s 0.1'
    """
    columns, constant = _shown(summary)
    table = RichTable(
        title=f"Sweep: test accuracy{_of_seeds(summary)}", caption=constant, box=box.SIMPLE, padding=0, pad_edge=False
    )
    for name, cells in columns.items():
        is_text = any(cell and not cell[0].isdigit() for cell in cells)
        table.add_column(name, justify="left" if is_text else "right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def curve_lines(summary: Sequence[Row]) -> tuple[str, dict[str, list[figures.CurvePoint]]] | None:
    """Return the name of x and the points of each line, for `figures.curve`; None if nothing varies along an x.

    Examples
    --------
    >>> row = {"select": "random", "propagation": "none", "classifier": "knn", "n_clusters": "", "percentile": ""}
    >>> row |= {"overrides": "", "half_width": "", "published": ""}
    >>> rows = [row | {"n_labels": n, "test_accuracy": accuracy} for n, accuracy in (("50", "0.8"), ("100", "0.9"))]
    >>> x_name, lines = curve_lines(rows)
    >>> x_name, [(name, [point.x for point in points]) for name, points in lines.items()]
    ('labels bought', [('random labels, knn', [50.0, 100.0])])
    """
    rows = [row for row in summary if row["propagation"] != "best_allocation" and row["classifier"] != MOST_FREQUENT]
    for name, words in CURVES.items():
        if len({row[name] for row in rows if row[name]}) < 2:
            continue
        lines: dict[str, list[figures.CurvePoint]] = {}
        for row in rows:
            if row[name]:
                percentile = None if name == "percentile" else _float(row["percentile"])
                others = [item for item in row["overrides"].split() if _setting(item) not in SETTINGS[name]]
                labels = title(row["select"], row["propagation"], percentile)
                line = ", ".join([labels, row["classifier"], *others])
                point = figures.CurvePoint(
                    float(row[name]), float(row["test_accuracy"]), _float(row["half_width"]), _float(row["published"])
                )
                lines.setdefault(line, []).append(point)
        several = {line: sorted(points, key=lambda point: point.x) for line, points in lines.items() if len(points) > 1}
        if several:
            return words, several
    return None


def _of_seeds(summary: Sequence[Row]) -> str:
    several = any(row["half_width"] for row in summary)
    return ": means over seeds with their 95 % interval" if several else " of one seed"


def _setting(override: str) -> str:
    """The last part of the name that an override sets."""
    return override.partition("=")[0].rpartition(".")[2]


def _write_page(folder: Path, name: str, summary: Sequence[Row], problems: Mapping[str, str]) -> None:
    found = curve_lines(summary)
    drawn = {}
    if found is not None:
        with tempfile.TemporaryDirectory() as place:
            picture = Path(place, "curve.png")
            figures.save(figures.curve(found[1], found[0]), picture)
            drawn["curve"] = picture.read_bytes()
            write(folder, CURVE, drawn["curve"])
    columns, constant = _shown(summary)
    of_page = f"{name}: sweep"
    parts: list[Part] = [
        Words(f"Test accuracy{_of_seeds(summary)}{constant and '; '}{constant}."),
        Table(of_page, list(columns), list(zip(*columns.values(), strict=True))),
    ]
    if found is not None:
        parts.append(
            Picture("curve", "Test accuracy over the sweep", lambda figures: figures.curve(found[1], found[0]))
        )
    links = [(f"{job}/{PAGE}", job, problem or "finished") for job, problem in problems.items()]
    parts.append(Links("Jobs", links))
    write(folder, PAGE, page.render(of_page, parts, "", drawn))


def _shown(summary: Sequence[Row]) -> tuple[dict[str, list[str]], str]:
    """The summary for people: its columns, and a sentence with the columns that are equal in all rows."""
    columns = _varied([_settings(row["overrides"]) for row in summary])
    clusters = [row["n_clusters"] for row in summary]
    if not any(_repeats(clusters, cells) for cells in columns.values()):
        columns["clusters"] = clusters
    columns |= {
        "training labels": [title(row["select"], row["propagation"], _float(row["percentile"])) for row in summary],
        "classifier": [row["classifier"] for row in summary],
        "bought": [f"{int(row['n_labels']):,}" for row in summary],
        "correct %": [_percent(row["label_accuracy"], 1) for row in summary],
        "test accuracy %": [_with_interval(float(row["test_accuracy"]), _float(row["half_width"])) for row in summary],
        "balanced %": [_percent(row["balanced_accuracy"], 2) for row in summary],
        "published %": [row["published"] for row in summary],
        "seeds": [row["n_seeds"] for row in summary],
        "fit s": [f"{float(row['fit_seconds']):.1f}" for row in summary],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    same = {name for name, cells in columns.items() if len(set(cells)) == 1} - set(ALWAYS)
    constant = ", ".join(f"{name} {cells[0]}" for name, cells in columns.items() if name in same)
    return {name: cells for name, cells in columns.items() if name not in same}, constant and f"all rows: {constant}"


def _settings(overrides: str) -> dict[str, str]:
    """The overrides of a row, by name. Values may contain blanks."""
    found: dict[str, str] = {}
    for item in overrides.split():
        name, equals, value = item.partition("=")
        if equals:
            found[name] = value
        elif found:
            found[next(reversed(found))] += f" {item}"
    return found


def _varied(settings: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """A column for each setting, headed by the last part of its name if that is unique."""
    names = list(dict.fromkeys(name for row in settings for name in row))
    short = [name.rpartition(".")[2] for name in names]
    shown = [
        last if short.count(last) == 1 and last != "classifier" else f"{name}="
        for name, last in zip(names, short, strict=True)
    ]
    return {word: [row.get(name, "") for row in settings] for word, name in zip(shown, names, strict=True)}


def _repeats(cells: Sequence[str], others: Sequence[str]) -> bool:
    """Whether cells are each empty or equal to those beside them."""
    return all(cell in ("", other) for cell, other in zip(cells, others, strict=True))


def _with_interval(accuracy: float, half: float | None) -> str:
    """An accuracy in percent and its interval, clipped to 0 and 100.

    >>> _with_interval(0.99, 0.025)
    '99.00 [96.5, 100.0]'
    """
    if half is None:
        return f"{100 * accuracy:.2f}"
    low, high = max(accuracy - half, 0.0), min(accuracy + half, 1.0)
    return f"{100 * accuracy:.2f} [{100 * low:.1f}, {100 * high:.1f}]"


def _published(cfg: Any, row: Row) -> dict[str, str]:
    """The published accuracy of the same row in percent, and the name of that row; both empty if there is none."""
    numbers = {
        "n_clusters": int(row["n_clusters"]) if row["n_clusters"] else None,
        "n_labels": int(row["n_labels"]),
        "percentile": _float(row["percentile"]),
    }
    plain: Any = OmegaConf.to_container(cfg.published)
    entries = [Published(**entry) for entry in plain]
    found = find(entries, cfg.data.name, {**row, **numbers})
    return {"row": "", "published": ""} if found is None else {"row": found.row, "published": f"{found.accuracy:.2f}"}


def _percent(share: str, decimals: int) -> str:
    return f"{100 * float(share):.{decimals}f}" if share else ""


def _float(text: str) -> float | None:
    return float(text) if text else None
