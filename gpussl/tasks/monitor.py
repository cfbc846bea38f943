"""The cost of each stage (seconds, peak memory, device), shown during the run and kept for the manifest."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gpussl.backend import cpu
from gpussl.protocols import Twin
from gpussl.records import Stage
from gpussl.runtime import console

SAMPLE_SECONDS = 0.01


@dataclass
class Monitor:
    """Measures the stages of a run and shows them on stderr.

    Examples
    --------
    >>> monitor = Monitor()
    >>> with monitor.stage("cluster", cpu) as stage:
    ...     stage.note = "10 clusters"
    >>> [(stage.name, stage.note, stage.cached) for stage in monitor.stages]
    [('cluster', '10 clusters', False)]
    """

    stages: list[Stage] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    _progress: Progress = field(default_factory=lambda: _stage_progress())
    _task: TaskID = TaskID(0)
    _peak_memory: Callable[[], int] = field(default=lambda: 0)

    def seconds(self) -> float:
        """Wall-clock time since the run started, without imports."""
        return time.perf_counter() - self.started

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Show the current stage in a line during the block, and watch the memory of the host."""
        with self._progress, _peak_memory(cpu.memory) as self._peak_memory:
            yield

    def peak_memory(self) -> int:
        """Peak memory in bytes: of this process on the host, or of a stage on its device, whichever is larger."""
        return max(self._peak_memory(), *(stage.peak_memory_bytes for stage in self.stages))

    @contextlib.contextmanager
    def stage(self, group: str, twin: Twin, name: str = "") -> Iterator[Stage]:
        """Measure the block as one stage on a backend. `name` defaults to the group."""
        stage = Stage(group, name or group, twin.device_name())
        self._task = self._progress.add_task(stage.name, total=None, note="")
        twin.release()  # free memory of earlier stages must not count in the peak of this one
        start = time.perf_counter()
        with _peak_memory(twin.memory) as peak:
            yield stage
            twin.synchronize()
        stage.seconds, stage.peak_memory_bytes = time.perf_counter() - start, peak()
        self.stages.append(stage)
        self._progress.remove_task(self._task)
        seconds = "from cache" if stage.cached else f"{stage.seconds:.1f} s"
        console.say(f"{stage.name:<32} {seconds:>10}   {stage.note}")

    def advance(self, completed: int, total: int, note: str) -> None:
        """Update the progress of the current stage."""
        self._progress.update(self._task, completed=completed, total=total, note=note)


def _stage_progress() -> Progress:
    name, note = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[note]}"))
    return console.progress(SpinnerColumn(), name, BarColumn(), TimeElapsedColumn(), note)


@contextlib.contextmanager
def _peak_memory(memory: Callable[[], int]) -> Iterator[Callable[[], int]]:
    """Sample `memory` in a thread, and yield a function that returns the highest sample."""
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
