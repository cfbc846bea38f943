"""What a sweep's rows are made into."""

import io
import itertools
import json
import os
from types import SimpleNamespace

import pytest
from rich.console import Console

from gpussl.errors import GpusslError, StoreError
from gpussl.report import figures, manifest, sweep
from gpussl.report.jobs import SweepJob, register
from gpussl.report.results import to_csv
from gpussl.report.sweep import curve_lines, half_width, summarize, summary_table
from gpussl.runtime import store
from gpussl.runtime.command import Gather


def row(**changed):
    """A row of a sweep's results."""
    made = {"overrides": "", "select": "nearest_to_centroid", "propagation": "cluster", "classifier": "logistic"}
    made |= {"n_clusters": "20", "percentile": "", "seed": "0", "n_labels": "20", "n_train": "100", "row": ""}
    made |= {"label_accuracy": "0.9", "test_accuracy": "0.8", "published": "", "fit_seconds": "1", "device": "cpu"}
    return made | {"predict_seconds": "0.1", "train_accuracy": "", "balanced_accuracy": "", "only_class": ""} | changed


def test_the_interval_is_students():
    # of 1, 2, 3: t(0.975, 2) = 4.3027, standard deviation 1
    assert half_width([1, 2, 3]) == pytest.approx(4.302653 / 3**0.5)
    assert half_width([1]) is None


def test_seeds_are_what_is_averaged():
    (made,) = summarize([row(seed="0", test_accuracy="0.8"), row(seed="1", test_accuracy="0.9")])
    assert (made["n_seeds"], float(made["test_accuracy"])) == ("2", pytest.approx(0.85))
    assert made["train_accuracy"] == ""
    (made,) = summarize([row(seed=str(seed), train_accuracy=f"0.{8 + seed}") for seed in range(2)])
    assert float(made["train_accuracy"]) == pytest.approx(0.85)
    assert len(summarize([row(overrides="a=1"), row(overrides="a=2")])) == 2


@pytest.mark.parametrize(("seeds", "words"), [(1, "of one seed"), (2, "means over seeds")])
def test_the_table_says_whether_there_are_intervals(seeds, words):
    made = summarize([row(seed=str(seed), test_accuracy=f"0.{8 + seed}") for seed in range(seeds)])
    assert words in summary_table(made).title


def test_a_curve_has_a_line_for_each_other_setting():
    rows = [
        row(n_labels=str(n), n_clusters=str(n), overrides=f"cluster.n_clusters={n} features={features}")
        for n in (10, 20, 40)
        for features in ("represented", "centroid_distances")
    ]
    x, lines = curve_lines(summarize(rows))
    assert x == "labels bought"
    assert set(lines) == {f"whole cluster, logistic, features={name}" for name in ("represented", "centroid_distances")}
    assert [[point.x for point in points] for points in lines.values()] == [[10, 20, 40]] * 2


def test_test_labels_are_no_point_of_a_curve():
    rows = [row(n_labels=str(n), overrides=f"cluster.n_clusters={n}") for n in (10, 20)]
    bound = row(select="test_labels", propagation="best_allocation", n_labels="500")
    _, lines = curve_lines(summarize([*rows, bound]))
    assert {point.x for points in lines.values() for point in points} == {10, 20}
    assert curve_lines(summarize([rows[0], bound])) is None


def test_percentiles_are_a_curve_where_nothing_else_varies():
    rows = [row(propagation="nearest", percentile=str(p), overrides=f"x.percentile={p}") for p in (20.0, 50.0)]
    x, lines = curve_lines(summarize(rows))
    assert (x, list(lines)) == ("percentile", ["nearest, logistic"])


@pytest.mark.parametrize("values", [[20, 50, 75, 90, 100], [100, 600, 1000, 6000, 10000], [8, 9, 10, 500]])
def test_the_numbers_under_a_curve_are_apart(values):
    points = [figures.CurvePoint(x, 0.5, None, None) for x in values]
    axes = figures.curve({"a": points}, "x").axes[0]
    places = axes.transAxes.inverted().transform(axes.transData.transform([(x, 0.5) for x in axes.get_xticks()]))[:, 0]
    assert all(b - a > 0.05 for a, b in itertools.pairwise(places))
    assert axes.get_xticks()[0] == values[0]


def shown(summary):
    """The header, the rows and the caption of the table on a terminal of 80 columns, in words."""
    terminal = Console(file=io.StringIO(), width=80, markup=False)
    terminal.print(summary_table(summary))
    lines = [line.split() for line in terminal.file.getvalue().splitlines() if line.strip()]
    above = next(number for number, line in enumerate(lines) if set("".join(line)) == {"─"})
    caption = next(number for number, line in enumerate(lines) if line[:2] == ["all", "rows:"])
    return lines[above - 1], lines[above + 1 : caption], " ".join(itertools.chain(*lines[caption:]))


def test_the_table_has_a_line_a_row_at_80_columns():
    kinds = [{"propagation": "cluster"}, {"propagation": "none"}, {"propagation": "nearest", "percentile": "25.0"}]
    rows = [
        row(seed=str(seed), n_clusters=str(n), overrides=f"cluster.n_clusters={n}", test_accuracy=f"0.9{seed}", **kind)
        for n in (500, 2000)
        for kind in kinds
        for seed in range(3)
    ]
    header, lines, caption = shown(summarize(rows))
    assert header == ["n_clusters", "training", "labels", "test", "accuracy", "%"]
    assert lines[0] == ["500", "whole", "cluster", "91.00", "[88.5,", "93.5]"]
    assert len(lines) == 6
    assert caption == "all rows: classifier logistic, bought 20, correct % 90.0, seeds 3, fit s 1.0"


@pytest.mark.parametrize(
    ("accuracies", "interval"),
    [(("0.97", "0.99", "1"), "98.67 [94.9, 100.0]"), (("0.03", "0.01", "0"), "1.33 [0.0, 5.1]")],
)
def test_intervals_end_at_0_and_100(accuracies, interval):
    rows = [row(seed=str(seed), test_accuracy=value) for seed, value in enumerate(accuracies)]
    assert shown(summarize(rows))[1] == [["whole", "cluster", *interval.split()]]


def test_settings_of_one_name_are_told_apart():
    overrides = [f"cluster.n_init={a} classifier.x.n_init={b}" for a, b in ((1, 2), (2, 1))]
    header, _, _ = shown(summarize([row(overrides=text) for text in overrides]))
    assert header[:2] == ["cluster.n_init=", "classifier.x.n_init="]


class TestGathering:
    @pytest.fixture
    def jobs(self, tmp_path):
        """A function (rows of each job) -> the folder of a sweep with these jobs."""

        def make(*jobs):
            for number, rows in enumerate(jobs):
                folder = tmp_path / str(number)
                folder.mkdir()
                (folder / "config.yaml").write_text("name: x\ndata: {name: digits}\npublished: []\n")
                (folder / "results.csv").write_text(to_csv(rows))
                files = {name: store.file_digest(folder / name) for name in ("config.yaml", "results.csv")}
                (folder / "manifest.json").write_text(json.dumps(manifest.with_files({}, files)))
                digest = store.file_digest(folder / "manifest.json")
                register(tmp_path, SweepJob(number, folder, folder.name, (f"seed={number}",), digest=digest))
            return tmp_path

        return make

    def end(self, folder):
        """The exit code of Hydra's callback at the end of a sweep."""
        callback = Gather()
        callback.lock = os.open(folder / "lock", os.O_CREAT)
        with pytest.raises(SystemExit) as ended:
            callback.on_multirun_end(SimpleNamespace(hydra=SimpleNamespace(sweep=SimpleNamespace(dir=str(folder)))))
        return ended.value.code

    def test_a_table_without_a_column_is_an_error(self, jobs, capsys):
        short = {name: value for name, value in row().items() if name not in ("overrides", "test_accuracy")}
        folder = jobs([short])
        with pytest.raises(StoreError, match=r"expected results of all jobs .* \(KeyError: 'test_accuracy'\)"):
            sweep.finish(folder)
        assert self.end(folder) == 2
        assert capsys.readouterr().err.count("\n") == 1

    def test_a_full_disk_is_an_error(self, jobs, capsys, monkeypatch):
        def full(path, text):
            raise OSError(28, "No space left on device", str(path))

        folder = jobs([{name: value for name, value in row().items() if name != "overrides"}])
        monkeypatch.setattr(store, "write_text", full)
        assert self.end(folder) == 2
        assert "expected room on the disk, found none" in capsys.readouterr().err

    def test_a_failed_job_is_an_error(self, jobs, capsys):
        folder = jobs([row()])
        register(folder, SweepJob(0, folder / "0", "0", ("seed=0",), "DataError: [/] is broken"))
        with pytest.raises(GpusslError, match=r"^1 of the sweep's jobs failed: 0 in "):
            sweep.finish(folder)
        assert "  seed=0: DataError: [/] is broken\n" in capsys.readouterr().err
