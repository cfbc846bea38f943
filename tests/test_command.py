"""The command as a user has it: exit codes, messages, sweeps."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from rich.table import Table

import gpussl
from gpussl import __main__
from gpussl.errors import ConfigError, DeviceError, GpusslError
from gpussl.runtime import command, config, console
from gpussl.runtime.names import check_file_name
from tests.conftest import FAST
from tests.test_config import EXPERIMENTS

SMALL = [item for item in FAST if "mlp" not in item] + ["classifier=[logistic]"]


@pytest.fixture
def start_gpussl(tmp_path):
    """A function (arguments) -> the process, at work in an empty folder."""

    def start(*arguments, **streams):
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "gpussl", *arguments]
        streams = streams or {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **streams)

    return start


@pytest.fixture
def gpussl_command(start_gpussl):
    """A function (arguments) -> the finished process, run in an empty folder."""

    def run(*arguments):
        with start_gpussl(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            stdout, stderr = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return run


@pytest.fixture
def refusal(monkeypatch, capsys, tmp_path):
    """A function (arguments) -> the one line in which the command refuses them, in an empty folder."""

    def refuse(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["gpussl", *arguments])
        monkeypatch.setenv(command.FULL_ERROR, "0")
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        said = capsys.readouterr()
        assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
        return said.err.rstrip("\n").removeprefix("gpussl: error: ")

    return refuse


def test_help_is_read_at_80_columns_and_names_every_choice(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpussl", "--help"])
    monkeypatch.setenv(command.FULL_ERROR, "0")
    __main__.main()
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for group in ("data", "represent", "cluster", "features", "select", "propagate", "classifier", "experiment"):
        assert f"\n{group}: gpussl " in shown
        for name in config.choices(group):
            assert f"\n  {name} " in shown
    for text in ("k nearest neighbours", "gpussl 'classifier=[knn]' --help", "n_clusters: 50"):
        assert text in shown


def test_help_version_and_refusals_need_none_of_the_stages(tmp_path):
    script = """
import sys
from gpussl.__main__ import main
for argument in ("--version", "cluster.n_cluster=5", "classifier=[logistik]", "+dataset=mnist", "--help"):
    sys.argv = ["gpussl", argument]
    try:
        main()
        print(0)
    except SystemExit as ended:
        print(ended.code)
print(sorted({"scipy", "sklearn", "matplotlib", "torch"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    first, *codes, last = [line for line in shown.stdout.splitlines() if line[:1] in "g[0123456789"]
    assert first == f"gpussl {gpussl.__version__}"
    assert [code for code in codes if code.isdigit()] == ["0", "2", "2", "2", "0"]
    assert last == "[]"


def test_the_configuration_can_be_shown_without_running(gpussl_command, tmp_path):
    shown = gpussl_command("+experiment=fashion_propagation", "--cfg", "job")
    assert shown.returncode == 0
    assert "n_clusters: 2000" in shown.stdout
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["cluster.n_clusters=0"], "gpussl: error: cluster.n_clusters: expected a whole number of at least 1, found 0"),
        (["device=cuda"], "gpussl: error: device=cuda: expected a CUDA GPU with CuPy and cuML, found none"),
        (
            ["data=fashion_mnist", "data.folder=nowhere"],
            "gpussl: error: data.folder: expected a folder with the files of fashion_mnist, found no folder nowhere",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(gpussl_command, tmp_path, arguments, line):
    if "device=cuda" in arguments:
        from tests.conftest import GPU

        if GPU is not None:
            pytest.skip("this machine has a GPU")
    failed = gpussl_command(*arguments)
    assert failed.returncode == 2
    assert failed.stderr.startswith(line)
    assert failed.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("results.csv"))


SETTING = "found a setting of another name"
REFUSED = [
    ("classifier=[logistik]", "classifier: expected one of auto, convnet, ", "found logistik; did you mean logistic?"),
    ("data=digit", "data: expected one of auto, digits, ", "found digit; did you mean digits?"),
    ("data=nothing", "data: expected one of auto, digits, fashion_mnist, images, mnist, mnist_csv, table, ", ""),
    ("+experiment=mnist_kn", "experiment: expected one of fashion_baseline, ", "did you mean mnist_knn?"),
    ("experiment=mnist_knn", "experiment: expected +experiment=mnist_knn, found no + before it", ""),
    ("+data=mnist", "data: expected data=mnist, found a + before it", ""),
    ("classifier=5", "classifier: expected one of auto, convnet, ", "found 5"),
    ("~classifier", "classifier: expected a choice, found ~classifier", ""),
    ("hydra/launcher=nothing", "hydra/launcher: expected one of basic, found nothing", ""),
    ("--config-name=x", "--config-name: expected a configuration file of that name, found no x", ""),
    ("cluster.n_cluster=5", "cluster.n_cluster: expected one of init, ", "did you mean cluster.n_clusters=5?"),
    ("n_clusters=10", "n_clusters: expected one of accept, allocate, ", "did you mean cluster.n_clusters=10?"),
    ("dataset=mnist", "dataset: expected one of accept, allocate, ", "did you mean data=mnist?"),
    ("+dataset=mnist", "dataset: expected one of accept, allocate, ", f"{SETTING}; did you mean data?"),
    ("~nothing", "nothing: expected one of accept, allocate, ", SETTING),
    ("budget.n_labels=9", "budget.n_labels: expected no settings in budget", ""),
    ("classifier.knn.n_neighbors=5", "classifier.knn: expected a choice of classifier", "add classifier=[knn]"),
    ("hydra.run.dirr=x", "hydra.run.dirr: expected one of dir", "did you mean hydra.run.dir=x?"),
    ("seed=x", "seed: expected a whole number of at least 0, found x", ""),
    ("device=tpu", "device: expected one of auto, cuda, cpu, found tpu", ""),
    ("seed=1,2", "seed: expected one value, found 1,2; add -m to run each", ""),
    ("data=digits,mnist", "data: expected one value, found digits,mnist; add -m to run each", ""),
    ("+seed=1", "seed: expected a new setting after +, found one that exists; leave out the +", ""),
    ("data.path=a=b", "data.path=a=b: expected a value, found one that needs quotes", "write 'data.path=\"a=b\"'"),
    ('data.name="abc', 'data.name="abc: expected a value, found brackets or quotes that do not match', ""),
    ("digits", "digits: expected key=value, found no =", ""),
    ("--nonsense", "unrecognized arguments: --nonsense; see gpussl --help", ""),
    ("--experimental-rerun=x", "--experimental-rerun: expected no pickled configuration", ""),
    ("name=../../x", "name: expected a file name of at most 100 bytes without /, found '../../x'", ""),
    ("hydra.run.dir=/proc/x", "/proc/x: expected a file or folder that can be used, found: No such file or ", ""),
    (f"hydra.run.dir={'x' * 300}", "x" * 300 + ": expected a file or folder that can be used, found: File name ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "start", "end"), REFUSED)
def test_what_hydra_refuses_is_one_line_that_names_the_nearest(refusal, argument, start, end):
    line = refusal(argument)
    assert line.startswith(start)
    assert end in line


def test_a_misspelt_sweep_is_refused_before_any_job(refusal, tmp_path):
    assert refusal("-m", "classifier=knn,logistik").endswith("found logistik; did you mean logistic?")
    assert refusal("-m", "seed=1,2", "cluster.n_cluster=5,6").endswith("did you mean cluster.n_clusters=5,6?")
    assert not list(tmp_path.rglob(".hydra"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "\x1b[1m", "\udcff", "x" * 101, "ü" * 51])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(ConfigError, match=r"^name: expected a file name of at most 100 bytes without /, found "):
        check_file_name(name, "name")


@pytest.mark.parametrize("path", ["name", "represent", "propagate", "classifier"])
def test_the_names_of_a_run_and_of_its_stages_are_file_names(composed, path):
    cfg = composed()
    if path == "name":
        cfg.name = "../x"
    else:
        with open_dict(cfg):
            cfg[path]["../x"] = cfg.propagate.none
    with pytest.raises(ConfigError, match=f"^{path}: expected a file name .* found '../x'"):
        config.build(cfg)


def test_a_run_has_a_folder_of_its_own_even_in_the_same_second(composed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    one, other = (composed("name=x", return_hydra_config=True) for _ in range(2))
    time = str(one.hydra.sweep.dir).removesuffix("_sweep")
    assert one.hydra.sweep.dir == f"{time}_sweep"  # asked again, it is the same
    folders = [config.fresh_folder("x", "now") for _ in range(3)]
    assert folders == ["outputs/x/now", "outputs/x/now-1", "outputs/x/now-2"]
    assert Path(one.hydra.run.dir).is_dir()
    assert one.hydra.run.dir != other.hydra.run.dir
    named = composed("name=x", "hydra.run.dir=outputs/x/now", return_hydra_config=True)
    assert named.hydra.run.dir == "outputs/x/now"


@pytest.mark.parametrize(
    ("value", "cache"), [("", "~/.cache"), ("some/where", "~/.cache"), ("/some/where", "/some/where")]
)
def test_an_empty_or_relative_xdg_cache_home_is_none(composed, monkeypatch, value, cache):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    cfg = composed("data=mnist")
    assert (cfg.cache, cfg.data.cache) == (f"{cache}/gpussl/stages", f"{cache}/gpussl/mnist")


def test_ctrl_c_during_imports_is_one_line(tmp_path):
    script = """
import sys
class Interrupting:
    def find_spec(self, name, *others):
        if name == "hydra":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from gpussl.__main__ import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "gpussl: interrupted\n")


def test_the_script_for_both_studies_explains_itself_without_setting_up(tmp_path):
    root = Path(__file__).parent.parent
    shutil.copytree(root / "scripts", tmp_path / "scripts")
    run = [tmp_path / "scripts" / "reproduce"]
    shown = subprocess.run([*run, "--help"], capture_output=True, text=True, timeout=20)
    assert shown.returncode == 0
    assert "five seeds" in shown.stdout
    refused = subprocess.run([*run, "seed=1"], capture_output=True, text=True, timeout=20)
    assert refused.returncode == 2
    assert refused.stderr.startswith("gpussl: error: seed=1: expected seeds=0,1,...")
    assert [path.name for path in tmp_path.iterdir()] == ["scripts"]


class TestStreams:
    def test_a_name_with_markup_is_printed_as_it_is(self, capsys):
        console.stdout.print("[/] [red] :smile:")
        assert capsys.readouterr().out == "[/] [red] :smile:\n"

    def test_what_a_terminal_cannot_show_is_replaced(self, monkeypatch):
        shown = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
        with console.streams():
            table = Table("größe")
            table.add_row("±1")
            console.stdout.print(table)
        text = shown.getvalue().decode("ascii")
        assert "gr??e" in text
        assert "?1" in text

    def test_a_closed_stream_discards(self, monkeypatch):
        monkeypatch.setattr(sys, "stdout", None)
        with console.streams():
            console.stdout.print("nobody reads this")
            print("nor this")
        sys.stdout.close()

    def test_a_reader_that_has_gone_ends_nothing(self, monkeypatch):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w") as stream:  # noqa: PTH123 - a descriptor
            monkeypatch.setattr(sys, "stdout", stream)
            monkeypatch.setattr(console.stdout, "quiet", False)
            with console.streams():
                console.stdout.print("nobody reads this")
                print("nor this")
            assert console.stdout.quiet

    def test_a_finished_run_is_one_though_nobody_reads_its_tables(self, start_gpussl, tmp_path):
        with start_gpussl(*SMALL, "hydra.run.dir=run", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.close()
            said = process.stderr.read()
            process.wait(timeout=60)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert (tmp_path / "run" / "manifest.json").is_file()


def test_a_mistake_of_ours_shows_where_it_is(monkeypatch, capsys):
    of_hydra = SimpleNamespace(runtime=SimpleNamespace(output_dir=""), overrides=SimpleNamespace(task=[]), mode=None)
    monkeypatch.setattr(HydraConfig, "get", lambda: of_hydra)
    monkeypatch.setattr(config, "build", lambda cfg, overrides: 1 / 0)
    with pytest.raises(SystemExit) as ended:
        __main__.run(None)
    assert ended.value.code == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (OSError(28, "No space left on device", "/x"), "/x: expected room on the disk, found none (No space left on"),
        (PermissionError(13, "Permission denied", "/x"), "/x: expected a file or folder that can be used, found: Perm"),
        (OSError("broken"), "expected a file or folder that can be used, found: broken"),
    ],
)
def test_the_disk_is_told_in_one_line(error, start):
    told = command.told(error)
    assert isinstance(told, GpusslError)
    assert str(told).startswith(start)


def test_a_sweep_is_gathered_over_its_jobs(gpussl_command, tmp_path):
    entry = "{source:x,row:B9,data:digits,select:[nearest_to_centroid],propagation:none,classifier:[logistic],"
    entry += "n_clusters:20,accuracy:51.5}"
    sweep = ("seed=0,1,2", "cluster.n_clusters=10,20", f"published=[{entry}]", "hydra.sweep.dir=sweep")
    swept = gpussl_command("-m", *SMALL, *sweep)
    assert swept.returncode == 0, swept.stderr
    with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "sweep" / "summary.csv").open(newline="") as file:
        summary = list(csv.DictReader(file))
    notes = [json.loads((tmp_path / f"sweep/{n}/manifest.json").read_text())["stages"][0]["note"] for n in range(6)]
    read = "digits: 1,297 training and 500 test images"
    assert notes == [read, *[f"{read}, kept from the previous job"] * 5]
    assert len(rows) == 3 * 2 * (4 + 1)
    assert len(summary) == 2 * 4 + 1
    (guessing,) = (group for group in summary if group["classifier"] == "most_frequent")
    assert (guessing["overrides"], guessing["n_seeds"], guessing["label_accuracy"]) == ("", "3", "")
    shown, summary = summary, [group for group in summary if group is not guessing]
    for group in summary:
        members = [
            float(row["test_accuracy"])
            for row in rows
            if all(row[name] == group[name] for name in ("overrides", "select", "propagation"))
        ]
        assert len(members) == int(group["n_seeds"]) == 3
        assert float(group["test_accuracy"]) == pytest.approx(sum(members) / 3, abs=2e-6)
        assert float(group["half_width"]) > 0
    beside = [(group["propagation"], group["n_clusters"], group["row"], group["published"]) for group in summary]
    assert [group for group in beside if group[-1]] == [("none", "20", "B9", "51.50")]
    assert {group["overrides"] for group in summary} == {"cluster.n_clusters=10", "cluster.n_clusters=20"}
    assert "means over seeds" in swept.stdout
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert page.count("<tr>") == 1 + len(shown)
    assert page.count(": finished</li>") == 6
    assert (tmp_path / "sweep" / "figures" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_wheel_runs_from_another_folder(tmp_path):
    root = Path(__file__).parent.parent
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert (tmp_path / "site" / "gpussl" / "conf" / "experiment" / "fashion_propagation.yaml").is_file()
    shown = subprocess.run(
        [sys.executable, "-m", "gpussl", "+experiment=fashion_propagation", "--cfg", "job"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr
    assert "n_clusters: 2000" in shown.stdout


# what makes each quick; sweeps are cut to two jobs
ON_DIGITS = {
    "fashion_baseline": ["classifier=[logistic]"],
    "fashion_cluster_distances": ["cluster.n_clusters=10,20"],
    "fashion_percentile_sweep": [*SMALL, "propagate.nearest.percentile=20,50"],
    "fashion_propagation": [item.replace("mlp", "mlp_study") for item in FAST],
    "fashion_random_labels": ["classifier=[logistic]", "select.n_labels=50"],
    "fashion_representatives": ["classifier=[logistic]", "cluster.n_clusters=10,20"],
    "fashion_few_labels": ["cluster.n_clusters=30", "classifier.convnet.n_steps=20", "classifier.convnet.channels=[8]"],
    "label_budget": ["budget.n_labels=90"],
    "mnist_without_labels": ["represent=[deskew,hog,pca]", "represent.hog.n_cells=4", "represent.pca.n_components=5",
                             "cluster.n_init=2", "classifier.convnet.n_steps=20",
                             "classifier.convnet.channels=[8]"],  # UMAP has tests of its own, and takes a minute
    "mnist_clusterings": ["represent.pca.n_components=5"],
    "mnist_knn": [],
    "mnist_label_curve": ["select.n_labels=50,100", "classifier.xgboost_study.n_estimators=3",
                          "classifier.xgboost_test_stopped.n_estimators=3"],
    "mnist_permutations": ["cluster.n_init=3"],
    "own_data": ["cluster.n_clusters=20", "classifier=[knn]"],
}  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs_on_the_digits(monkeypatch, capsys, tmp_path, experiment):
    arguments = [f"+experiment={experiment}", "data=digits", "device=cpu", *ON_DIGITS[experiment]]
    monkeypatch.setattr(sys, "argv", ["gpussl", *arguments])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    __main__.main()
    no_test = experiment == "label_budget"  # which opens no test label
    assert ("labels" if no_test else "test accuracy on 500 images") in capsys.readouterr().out


class TestResuming:
    SWEEP = ("-m", *SMALL, "cluster.n_clusters=10,15,20", "hydra.sweep.dir=sweep")

    def made(self, tmp_path):
        """When each finished job's manifest was written."""
        paths = (tmp_path / "sweep").glob("*/manifest.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in paths}

    def test_a_killed_sweep_does_only_what_is_missing(self, gpussl_command, start_gpussl, tmp_path):
        process = start_gpussl(*self.SWEEP)
        second = tmp_path / "sweep" / "1" / ".running"
        while not second.exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert second.exists()  # the mark of a job that was not let finish
        before = self.made(tmp_path)
        assert set(before) == {"0"}
        swept = gpussl_command(*self.SWEEP)
        assert swept.returncode == 0, swept.stderr
        after = self.made(tmp_path)
        assert set(after) == {"0", "1", "2"}
        assert after["0"] == before["0"]
        assert "sweep/0: already finished" in swept.stderr
        assert swept.stderr.count("already finished") == 1
        assert not list((tmp_path / "sweep").rglob(".running"))
        with (tmp_path / "sweep" / "results.csv").open(newline="") as file:
            assert {row["job"] for row in csv.DictReader(file)} == {"0", "1", "2"}


def test_percentiles_share_the_clustering_of_their_seed(gpussl_command, tmp_path):
    sweep = ("+experiment=fashion_percentile_sweep", "data=digits", "device=cpu", "classifier=[logistic]")
    varied = ("propagate.nearest.percentile=20,50,100", "seed=0,1", "hydra.sweep.dir=sweep")
    swept = gpussl_command(*sweep, "cluster.n_clusters=20", *varied)
    assert swept.returncode == 0, swept.stderr
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/manifest.json")]
    made = [stage["cached"] for manifest in manifests for stage in manifest["stages"] if stage["name"] == "cluster"]
    assert len(made) == 6
    assert made.count(False) == 2


class OutOfMemoryError(RuntimeError):
    """As PyTorch calls its own."""


@pytest.mark.parametrize(
    "error", [MemoryError("no 5 GB\nmore"), MemoryError(), OutOfMemoryError("no 5 GB"), ValueError()]
)
def test_out_of_memory_is_told_wherever_it_happened(error):
    try:
        try:
            raise error
        finally:
            raise RuntimeError("capture failed")  # as PyTorch does while it clears away
    except RuntimeError as last:
        told = command.told(last)
    if isinstance(error, ValueError):
        assert str(told) == "capture failed"
    else:
        said = "no 5 GB" if str(error) else "out of memory"
        assert str(told).startswith(f"memory: expected enough for this run, found no more ({said}); take fewer points")
        assert "\n" not in str(told)
        assert isinstance(told, DeviceError)
