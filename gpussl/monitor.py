"""What each stage cost: seconds, peak memory, device; shown while it runs and kept for the manifest."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gpussl import console

SAMPLE_SECONDS = 0.01


@dataclass
class Stage:
    """One stage of a run, filled in as it goes.

    Attributes
    ----------
    seconds : float
        Wall-clock time, after the device has finished.
    peak_memory_bytes : int
        The most device memory in use, of samples taken every 10 ms.
    cached : bool
        Whether its result came from an earlier run.
    note : str
        For people: what came out.
    """

    name: str
    device: str
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    cached: bool = False
    note: str = ""


@dataclass
class Monitor:
    """Times the stages of a run and shows them on stderr."""

    stages: list[Stage] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    _progress: Progress | None = None
    _task: TaskID | None = None

    def seconds(self) -> float:
        """Wall-clock time since the run began, imports apart."""
        return time.perf_counter() - self.started

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Show a line with the stage at work until the block ends."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with console.progress(*columns) as self._progress:
            yield

    @contextlib.contextmanager
    def stage(self, name: str, twin: ModuleType) -> Iterator[Stage]:
        """Measure the block as one stage that runs on a backend twin."""
        stage = Stage(name, twin.device_name())
        if self._progress is not None:
            self._task = self._progress.add_task(name, total=None)
        start = time.perf_counter()
        with _peak_memory(twin.memory) as peak:
            yield stage
            twin.synchronize()
        stage.seconds, stage.peak_memory_bytes = time.perf_counter() - start, peak()
        self.stages.append(stage)
        if self._progress is not None and self._task is not None:
            self._progress.remove_task(self._task)
        seconds = "from cache" if stage.cached else f"{stage.seconds:.1f} s"
        console.say(f"{name:<32} {seconds:>10}   {stage.note}")

    def advance(self, completed: int, total: int, note: str) -> None:
        """Say how far the stage at work has come."""
        if self._progress is not None and self._task is not None:
            name = self._progress.tasks[-1].description.split("  ")[0]
            self._progress.update(self._task, completed=completed, total=total, description=f"{name}  {note}")


@contextlib.contextmanager
def _peak_memory(memory: Callable[[], int]) -> Iterator[Callable[[], int]]:
    """Sample `memory` in a thread; the function that is yielded answers the highest sample."""
    samples, done = [memory()], threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            samples[0] = max(samples[0], memory())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield lambda: max(samples[0], memory())
    finally:
        done.set()
        thread.join()
