"""Faults injected into real runs on the digits: kills, bit flips, full disks, shared caches and clock changes.

After each fault the same command runs again, undisturbed. A fault is survived if that run's results are those of a run
that never met it, no file of anybody else has changed, and no command has ended with 0 after it lost something.
"""

import argparse
import contextlib
import csv
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.pool import ThreadPool
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import gpussl
from gpussl import seeds
from gpussl.errors import GpusslError
from gpussl.report import manifest
from gpussl.report.results import to_csv
from gpussl.runtime import store
from gpussl.tasks.run_folder import WORK

RESULTS = Path(__file__).parent / "results" / "soak.csv"
JOB = (
    "data=digits",
    "device=cpu",
    "cluster.n_clusters=20",
    "classifier=[logistic,xgboost]",
    "classifier.xgboost.n_estimators=5",
)
JOB += ("represent=[pca]", "represent.pca.n_components=16")
SWEEP = ("-m", *JOB, "seed=0,1,2")
RUN, SWEPT = "hydra.run.dir=run", "hydra.sweep.dir=sweep"
COLUMNS = ("fault", "tries", "survived", "wrong_results", "foreign_files", "silent_losses", "tracebacks", "left_behind")
WORKERS = os.cpu_count() or 1
# patches of the command's process; {n} is the number of the try
KILL_AT_OPERATION = """
import os, signal
left = {n}
def dying(operation):
    def call(*arguments, **keywords):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return operation(*arguments, **keywords)
    return call
for name in ("replace", "rename", "unlink", "mkdir", "rmdir"):
    setattr(os, name, dying(getattr(os, name)))
"""
COUNTED = """
import atexit
atexit.register(lambda: open("left", "w").write(str(left)))
"""
MANY = 10**6
JUMPING_CLOCK = """
import itertools, time
now, jumps = time.time, itertools.cycle([0, -86400, 3600, -2, 10**7])
time.time = lambda: now() + next(jumps)
"""


def main():
    faults = {
        "kills": functools.partial(signalled, signal.SIGKILL),
        "terms": functools.partial(signalled, signal.SIGTERM),
        "operations": operations,
        "flips": flips,
        "disks": disks,
        "caches": caches,
        "clocks": clocks,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(faults)}; all of them by default")
    parser.add_argument("--tries", type=int, default=60, help="of each fault")
    arguments = parser.parse_args()
    unknown = set(arguments.faults) - set(faults)
    if unknown:
        parser.error(f"expected {', '.join(faults)}, found {', '.join(sorted(unknown))}")
    kept = {row["fault"]: row for row in read(RESULTS)}
    with tempfile.TemporaryDirectory(prefix="gpussl-soak-") as folder:
        place = Path(folder)
        whole = {
            RUN: undisturbed(place / "run-whole", (*JOB, RUN)),
            SWEPT: undisturbed(place / "sweep-whole", (*SWEEP, SWEPT)),
        }
        for name in arguments.faults or faults:
            for row in faults[name](place / name, whole, arguments.tries):
                kept[row["fault"]] = row
                store.write_text(RESULTS, to_csv(list(kept.values())))
    show(kept.values())
    return any(int(row[name]) for row in kept.values() for name in COLUMNS[3:])


def read(path):
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def command(arguments, patch=""):
    start = f"{patch}\nimport sys; sys.argv = ['gpussl', *sys.argv[1:]]\nfrom gpussl.__main__ import main\nmain()"
    return [sys.executable, "-c", start, *arguments]


def start(folder, arguments, patch=""):
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(arguments, patch),
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    _, said = process.communicate(timeout=600)
    return process.returncode, said


def undisturbed(folder, arguments, patch=""):
    code, said = finish(start(folder, arguments, patch))
    if code:
        sys.exit(said)
    return results(folder)


def results(folder):
    """What runs and sweeps below a folder have found, without what tells of time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors" and not name.startswith("cache"):
            found[name] = store.file_digest(path)
        elif path.name in ("results.csv", "summary.csv"):
            found[name] = [{key: row[key] for key in row if "seconds" not in key} for row in read(path)]
    return found


def plant(folder):
    """Files of somebody else, where a run will work."""
    planted = {}
    for place in ("run", "sweep", "sweep/0", "sweep/1/models", "run/models", "run/figures"):
        for name in ("mine.safetensors", "notes.txt"):
            path = folder / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
            planted[path] = "mine"
    return planted


def judged(folder, whole, planted, endings):
    """The outcomes of one try: of the disturbed commands, and of the folder after the undisturbed one."""
    found = {name: value for name, value in results(folder).items() if not name.endswith("mine.safetensors")}
    seen = Counter()
    seen["wrong_results"] += found != whole
    seen["foreign_files"] += sum(not path.exists() or path.read_text() != text for path, text in planted.items())
    for _, said in endings:
        if "Traceback" in said:
            seen["tracebacks"] += 1
            print(f"{folder}:\n{said}", file=sys.stderr)
    parts = [path for path in folder.rglob("*") if path.name.endswith(store.PART) or path.name == WORK]
    seen["left_behind"] += len([path for path in parts if "cache" not in path.parts])
    seen["survived"] += not +seen
    return seen


def counted(fault, outcomes):
    total = sum(outcomes, Counter())
    return {"fault": fault, "tries": len(outcomes), **{name: total[name] for name in COLUMNS[2:]}}


def at_once(what, function, tries):
    with ThreadPool(WORKERS) as pool:
        return list(track(pool.imap_unordered(function, tries), total=len(tries), description=what))


def signalled(number, place, whole, tries):
    """A signal at random moments of runs and sweeps."""
    for target, arguments, longest in ((RUN, JOB, 6.0), (SWEPT, SWEEP, 12.0)):
        fault = f"{number.name} at a random moment of a {'run' if target == RUN else 'sweep'}"

        def one(n, target=target, arguments=arguments, longest=longest):
            folder = place / f"{target.partition('.')[2].partition('.')[0]}-{n}"
            planted, rng = plant(folder), seeds.generator(n, "soak")
            process = start(folder, (*arguments, target))
            time.sleep(rng.uniform(0.1, longest))
            process.send_signal(number)
            endings = [finish(process)]
            was_lost = endings[0][0] == 0 and target == RUN and manifest.of_whole_run(folder / "run") is None
            endings += again(folder, (*arguments, target))
            return judged(folder, whole[target], planted, endings) + Counter(silent_losses=int(was_lost))

        yield counted(fault, at_once(fault, one, range(tries // 2)))


def again(folder, arguments):
    """Run the command undisturbed, unless it had finished before."""
    if RUN in arguments and manifest.of_whole_run(folder / "run") and not (folder / "run" / WORK).exists():
        return []
    ending = finish(start(folder, arguments))
    if ending[0] and "found a finished one" not in ending[1]:
        raise RuntimeError(ending[1])
    return [ending]


def operations(place, whole, tries):
    """SIGKILL at file operations of a run, evenly from the first to the last."""
    fault = "SIGKILL at a file operation of a run"

    def one(n):
        folder = place / str(n)
        planted = plant(folder)
        endings = [finish(start(folder, (*JOB, RUN), KILL_AT_OPERATION.format(n=n)))]
        endings += again(folder, (*JOB, RUN))
        outcome = judged(folder, whole[RUN], planted, endings)
        shutil.rmtree(folder)
        return outcome

    undisturbed(place / "counted", (*JOB, RUN), KILL_AT_OPERATION.format(n=MANY) + COUNTED)
    total = MANY - int((place / "counted" / "left").read_text())
    yield counted(fault, at_once(fault, one, range(0, total, max(1, total // tries))))


def flips(place, whole, tries):
    """Single bits flipped in what is stored: read by `load`, and found in the cache by a run."""
    folder = place / "flips"
    undisturbed(folder, (*JOB, RUN))
    stored = sorted(folder.rglob("*.safetensors"))
    rng, outcomes = seeds.generator(0, "soak"), []
    for _ in range(20 * tries):
        path = stored[rng.integers(len(stored))]
        with flipped(path, rng):
            try:
                gpussl.load(path)
                outcomes.append(Counter(silent_losses=1))
            except GpusslError:
                outcomes.append(Counter(survived=1))
    yield counted("a bit flipped in an artifact that is loaded", outcomes)

    cached = [path for path in stored if "cache" in path.parts]

    def one(n):
        rng = seeds.generator(n, "soak")
        own = place / f"cached-{n}"
        shutil.copytree(folder / "cache", own / "cache")
        planted = plant(own)
        path = own / cached[rng.integers(len(cached))].relative_to(folder)
        with flipped(path, rng, restores=False):
            endings = [finish(start(own, (*JOB, RUN)))]
        outcome = judged(own, whole[RUN], planted, endings)
        if endings[0][0] or "computing it again" not in endings[0][1]:
            outcome["silent_losses"] += 1
        shutil.rmtree(own)
        return outcome

    fault = "a bit flipped in the cache of a run"
    yield counted(fault, at_once(fault, one, range(tries)))


@contextlib.contextmanager
def flipped(path, rng, *, restores=True):
    content = path.read_bytes()
    changed = bytearray(content)
    changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(changed))
    yield
    if restores:
        path.write_bytes(content)


def disks(place, whole, tries):
    """Disks of all sizes up to one that holds everything, filled up by runs and sweeps."""
    if os.geteuid():
        print("full disks: expected root, to mount small disks, found another user; left out", file=sys.stderr)
        return
    for target, arguments in ((RUN, JOB), (SWEPT, SWEEP)):
        fault = f"a disk that is full during a {'run' if target == RUN else 'sweep'}"

        def one(n, target=target, arguments=arguments):
            folder = place / f"{target.partition('=')[2]}-{n}"
            folder.mkdir(parents=True)
            size = 8 + n * (2400 if target == SWEPT else 800) // tries
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", folder], check=True)
            try:
                code, said = finish(start(folder, (*arguments, target, "cache=null")))
                seen = Counter(tracebacks=int("Traceback" in said))
                if code == 0 and results(folder) != whole[target]:
                    seen["silent_losses"] += 1
                if code not in (0, 2):
                    seen["tracebacks"] += 1
                for job in [folder / "run", *(folder / "sweep").glob("[0-9]*")]:
                    if (job / "manifest.json").exists() and manifest.of_whole_run(job) is None:
                        seen["wrong_results"] += 1
                seen["survived"] += not +seen
                return seen
            finally:
                subprocess.run(["umount", "-l", folder], check=True)

        yield counted(fault, at_once(fault, one, range(tries // 2)))


def caches(place, whole, tries):
    """Eight runs at once on one cache, with one of them killed."""
    fault, outcomes = "eight runs on one cache, one killed", []
    for n in track(range(max(1, tries // 8)), description=fault):
        shared, rng = place / str(n), seeds.generator(n, "soak")
        shared.mkdir(parents=True)
        started = []
        for number in range(8):
            folder = shared / str(number)
            planted = plant(folder)
            (folder / "cache").symlink_to(shared, target_is_directory=True)
            started.append((folder, planted, start(folder, (*JOB, RUN))))
        time.sleep(rng.uniform(1, 15))
        started[0][2].kill()
        for folder, planted, process in started:
            endings = [finish(process)]
            endings += again(folder, (*JOB, RUN))
            (folder / "cache").unlink()
            outcomes.append(judged(folder, whole[RUN], planted, endings))
    yield counted(fault, outcomes)


def clocks(place, whole, tries):
    """A clock that jumps back and forth by seconds, hours and months at every look at it."""
    fault = "a clock that jumps during a sweep"

    def one(n):
        folder = place / str(n)
        planted = plant(folder)
        endings = [finish(start(folder, (*SWEEP, SWEPT), JUMPING_CLOCK)) for _ in range(2)]
        outcome = judged(folder, whole[SWEPT], planted, endings)
        outcome["silent_losses"] += any(code for code, _ in endings)
        return outcome

    yield counted(fault, at_once(fault, one, range(max(2, tries // 15))))


def show(rows):
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in COLUMNS:
        table.add_column(name.replace("_", "\n"), justify="left" if name == "fault" else "right")
    for row in rows:
        table.add_row(*(str(row[name]) for name in COLUMNS))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
