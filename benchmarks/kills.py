"""SIGKILL at random moments of `choose`, `label` and `learn`, on small tables of a person's own.

After each kill the project is opened again, and the same command runs again, undisturbed. A kill is survived if every
answer that was acknowledged is there once, every round and model is there as a whole or not at all, and the second
run ends with 0 and leaves no temporary file in the project.

Of the answers that a killed `label` has not acknowledged, the first ones may be there: none, some or all.
"""

import argparse
import contextlib
import functools
import importlib
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before libraries start their threads, which do not survive a fork

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from soak import WORKERS, read

import gpussl
from gpussl import seeds
from gpussl.errors import GpusslError
from gpussl.report.results import to_csv
from gpussl.runtime import config, console, signals, store
from gpussl.tasks import project
from gpussl.tasks.run import run_on_project

RESULTS = Path(__file__).parent / "results" / "kills.csv"
COMMANDS = ("choose", "label", "learn")
CLASSES = ("round", "square", "flat")
USUAL = {}  # the seconds of each command, in each process
N_POINTS, N_LABELS, N_CORRECTIONS = 400, 30, 3
KILLS = 12  # of one project: points to ask for are left
LATEST = 1.2  # of the usual duration of a command: its latest kill
TABLE, PROJECT, LABELS = "mine.csv", "mine.gpussl", "labels.csv"  # in the folder of the try
SETTINGS = (
    "+experiment=own_data", "data=auto", f"data.path={TABLE}", f"project={PROJECT}", "cache=cache",
    "classifier=[logistic]", "device=cpu",
)  # fmt: skip
OF_COMMAND = {"choose": (f"n_labels={N_LABELS}",), "label": (f"source={LABELS}",), "learn": ()}
LATE = ("pyarrow.csv", "pyarrow.parquet", "sklearn.linear_model", "sklearn.neighbors")  # imported when they are needed
# "done": what the killed command makes is there; "in_part": some of the answers of its file are
SEEN = ("kills", "while_running", "acknowledged", "done", "in_part")
FAULTS = ("lost", "doubled", "asked_twice", "not_whole", "not_reopened", "left_behind", "tracebacks")
ACKNOWLEDGED = {"choose": "points to label are in", "label": "new labels", "learn": "points have a class in"}
FILES = {
    "rounds": {"to_label.csv", "round.json", "report.html"},
    "learned": {
        project.MODEL, project.PREDICTIONS, project.DOUBTS, project.SUMMARY, "results.csv", "report.html",
    },
}  # fmt: skip
MAY_HAVE = {"rounds": {project.LOOK_ALIKES, project.FIELDS}, "learned": {"figures"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=1000, help="kills, a third of each command")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    jobs = composed()
    with tempfile.TemporaryDirectory(prefix="gpussl-kills-") as folder:
        USUAL.update(undisturbed(jobs, Path(folder)))
        print("seconds undisturbed:", ", ".join(f"{word} {seconds:.2f}" for word, seconds in USUAL.items()))
        batches = [range(n, min(n + KILLS, arguments.tries)) for n in range(0, arguments.tries, KILLS)]
        kill = functools.partial(killed, jobs=jobs, place=Path(folder))
        # its processes are forked before it starts threads, and fork the commands themselves
        with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
            done = track(pool.imap_unordered(kill, batches), total=len(batches), description="kills")
            outcomes = [outcome for batch in done for outcome in batch]
    rows = [counted(word, [seen for name, seen in outcomes if name == word]) for word in COMMANDS]
    store.write_text(arguments.results, to_csv(rows))
    show(rows)
    return any(row[name] for row in rows for name in FAULTS)


def composed():
    """The jobs of the commands. This imports what they need, but runs none: its threads would not survive a fork."""
    for name in LATE:
        importlib.import_module(name)
    return {word: config.job(*SETTINGS, f"task={word}", *OF_COMMAND[word]) for word in COMMANDS}


@dataclass(frozen=True)
class Ending:
    """How a command has ended: its exit code, or None if it was killed; what it said; and its seconds."""

    code: int | None
    said: str
    complained: str
    seconds: float

    def acknowledges(self, word):
        return any(ACKNOWLEDGED[word] in line for line in self.said.splitlines(keepends=True) if line.endswith("\n"))


def run_command(folder, job, moment=None):
    """Run a command in a folder, in a process of its own, and kill it after `moment` seconds."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = os.fork()
        if not child:
            become(folder, job, writing, errors.fileno())
        os.close(writing)
        if moment is not None:
            time.sleep(moment)
            os.kill(child, signal.SIGKILL)  # no other process: an ended child keeps its number until it is waited for
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - start
        errors.seek(0)
        code = None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
        return Ending(code, said, errors.read().decode(), seconds)


def become(folder, job, out, err):
    """Be the command from here on, as `gpussl.__main__` runs it."""
    for descriptor, number in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    os.chdir(folder)
    code = 0
    try:
        with signals.installed(), console.streams():
            run_on_project(job)
    except GpusslError as error:
        console.say(f"gpussl: error: {error}")
        code = 2
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


class Case:
    """A project, and what must be in it.

    Attributes
    ----------
    answers : list of (str, str)
        The id and the label of each line that must be in the file of answers, in order.
    coming : list of (str, str)
        The lines that the `label` at work adds.
    digests : dict of Path to str
        The files of rounds and models that were there once, and must stay.
    """

    def __init__(self, folder):
        self.folder, self.place = folder, folder / PROJECT
        self.truth = write_table(folder / TABLE)
        self.answers, self.coming, self.digests = [], [], {}
        self.is_begun = False

    def prepare(self, word, rng):
        """Write what the next command reads."""
        if word == "label":
            self.coming = self.next_answers(rng)
            store.write_csv(self.folder / LABELS, [("id", "label"), *self.coming])

    def next_answers(self, rng):
        """The labels of all points that are open, and corrections of others."""
        known = dict(self.answers)
        asked = [item for made in project.opened(self.place).rounds() for item in made.asked]
        corrected = rng.permutation(list(known))[:N_CORRECTIONS].tolist()
        new = [(item, self.truth[item]) for item in asked if item not in known]
        new += [(item, CLASSES[CLASSES.index(known[item]) - 1]) for item in corrected]
        return [new[place] for place in rng.permutation(len(new))]

    def judged(self, word, ending):
        """The faults that a command has left, and how much of its work is there."""
        seen = Counter()
        if "Traceback" in ending.complained:
            seen["tracebacks"] += 1
            print(f"{word}:\n{ending.complained}", file=sys.stderr)
        is_acknowledged = ending.acknowledges(word)
        self.is_begun |= is_acknowledged
        try:
            seen += self.judged_answers(word, is_acknowledged)
            with contextlib.redirect_stderr(io.StringIO()):  # it names parts of lines
                seen += self.judged_files(word, is_acknowledged)
        except Exception:  # whatever stands in the way of opening it
            seen["not_reopened"] += 1
            print(f"{self.place} after {word}:\n{traceback.format_exc()}", file=sys.stderr)
        return seen

    def judged_answers(self, word, is_acknowledged):
        seen, lines, n_before = Counter(), answer_lines(self.place), len(self.answers)
        wanted = self.answers + self.coming
        if is_acknowledged and word == "label":
            self.answers = wanted
        seen["lost"] = (Counter(self.answers) - Counter(lines)).total()
        seen["doubled"] = (Counter(lines) - Counter(wanted)).total()
        if not +seen and lines != wanted[: len(lines)]:
            seen["lost"] += 1  # one is missing before one that is there
        if word == "label":
            seen["done"] += len(lines) == len(wanted)
            seen["in_part"] += n_before < len(lines) < len(wanted)
        self.answers, self.coming = lines, wanted[len(lines) :]  # what is there, acknowledged or not, must stay
        return seen

    def judged_files(self, word, is_acknowledged):
        seen = Counter()
        if not project.is_project(self.place):
            seen["not_reopened"] += self.is_begun
            return seen
        made = project.opened(self.place)
        rounds, labels = made.rounds(), made.labels()
        if self.is_begun or (self.place / project.POINTS).exists():
            seen["not_whole"] += made.ids() != list(self.truth)
        seen["lost"] += sum(labels.get(item) != label for item, label in dict(self.answers).items())
        seen["doubled"] += len(labels.keys() - dict(self.answers))
        asked = Counter(item for asked_then in rounds for item in asked_then.asked)
        seen["asked_twice"] += sum(n > 1 for n in asked.values())
        digests = {path: store.file_digest(path) for path in self.made_files()}
        seen["not_whole"] += sum(digests.get(path) != digest for path, digest in self.digests.items())
        new = {path.parent for path in digests.keys() - self.digests.keys()}
        seen["not_whole"] += sum(not self.is_whole(folder, rounds, labels) for folder in new)
        if word != "label":
            seen["done"] += bool(new)
            seen["not_whole"] += is_acknowledged and not new
        self.digests |= digests
        return seen

    def made_files(self):
        """The files of all rounds and models."""
        for kind in FILES:
            for folder in (self.place / kind).glob("[0-9]*"):
                yield from filter(Path.is_file, folder.iterdir())

    def is_whole(self, folder, rounds, labels):
        """Whether a round or a model that a command has just made is whole."""
        names, kind = {path.name for path in folder.iterdir()}, folder.parent.name
        if not FILES[kind] <= names <= FILES[kind] | MAY_HAVE[kind]:
            return False
        if not (folder / "report.html").read_text().rstrip().endswith("</html>"):
            return False
        if folder.parent.name == "rounds":
            (asked,) = (made.asked for made in rounds if made.number == int(folder.name))
            return len(asked) == N_LABELS and [row["id"] for row in read(folder / "to_label.csv")] == list(asked)
        gpussl.load(folder / project.MODEL)
        predictions = read(folder / project.PREDICTIONS)
        bought = {row["id"]: row["label"] for row in predictions if row["source"] == project.BOUGHT}
        return [row["id"] for row in predictions] == list(self.truth) and bought == labels

    def left_behind(self):
        """Temporary files."""
        return [path for path in self.place.rglob("*") if re.search(rf"{store.PART}$|^\..*\.part$", path.name)]


def write_table(path):
    """Write a table of three kinds of points; return their classes by id."""
    rng = seeds.generator(0, "table")
    kinds = rng.integers(len(CLASSES), size=N_POINTS)
    places = 4.0 * (kinds[:, None] == [1, 2]) + rng.normal(scale=0.8, size=(N_POINTS, 2))
    rows = [(f"p{n:03}", f"{x:.4f}", f"{y:.4f}") for n, (x, y) in enumerate(places)]
    store.write_csv(path, [("id", "x", "y"), *rows])
    return {row[0]: CLASSES[kind] for row, kind in zip(rows, kinds, strict=True)}


def answer_lines(place):
    """The id and the label of each line in the file of answers, read without gpussl; parts of lines are passed over."""
    path, found = place / project.ANSWERS, []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            found.append((entry["id"], entry["label"]))
    return found


def undisturbed(jobs, place):
    """The usual seconds of each command: of two rounds, the slower one."""
    seconds = dict.fromkeys(COMMANDS, 0.0)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        case = Case(Path(folder))
        for word in 2 * COMMANDS:
            case.prepare(word, seeds.generator(0, "undisturbed"))
            ending = run_command(case.folder, jobs[word])
            seen = case.judged(word, ending)
            if ending.code or any(seen[name] for name in FAULTS):
                sys.exit(f"{word}: {dict(seen)}\n{ending.complained}")
            seconds[word] = max(seconds[word], ending.seconds)
    return seconds


def killed(numbers, jobs, place):
    """The outcomes of kills by number, each with its command: on one project, or a new one if it cannot go on."""
    outcomes, numbers = [], list(numbers)
    while numbers:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            case = Case(Path(folder))
            for word in itertools.cycle(COMMANDS):
                seen, ending = one(case, word, jobs[word], seeds.generator(numbers.pop(0), "kills"))
                outcomes.append((word, seen))
                if ending.code or not numbers:
                    break
                USUAL[word] = (USUAL[word] + ending.seconds) / 2  # the machine may have got slower or faster
    return outcomes


def one(case, word, job, rng):
    """Kill a command and run it again; return what was seen, and how it has ended then."""
    case.prepare(word, rng)
    ending = run_command(case.folder, job, rng.uniform(0, LATEST * USUAL[word]))
    seen = Counter(kills=1, while_running=ending.code is None, acknowledged=ending.acknowledges(word))
    seen += case.judged(word, ending)
    ending = run_command(case.folder, job)
    faults = case.judged(word, ending)
    seen += Counter({name: faults[name] for name in FAULTS})
    seen["left_behind"] += len(case.left_behind())
    if ending.code:
        seen["not_reopened"] += 1
        print(f"{case.place}: {word} ended with {ending.code}:\n{ending.complained}", file=sys.stderr)
    return seen, ending


def counted(word, outcomes):
    total = sum(outcomes, Counter())
    return {"command": word, **{name: int(total[name]) for name in (*SEEN, *FAULTS)}}


def show(rows):
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", "\n"), justify="left" if name == "command" else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
