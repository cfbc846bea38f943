"""The command: python -m gpussl, or gpussl."""

import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gpussl.errors import DeviceError, GpusslError
from gpussl.report.manifest import FAILED
from gpussl.runtime import config, console, store

INTERRUPTED = 130  # the exit code of a shell's program that Ctrl-C ended

config.register()


@hydra.main(version_base="1.3", config_path=str(config.folder()), config_name="config")
def main(cfg: DictConfig) -> None:
    """Run the job that the configuration describes."""
    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    in_sweep = hydra_cfg.mode is RunMode.MULTIRUN
    (folder / FAILED).unlink(missing_ok=True)  # of an earlier try
    try:
        job = config.build(cfg)
        from gpussl.tasks import prepare, run, run_folder  # late, so that --help and refusals need not wait for them

        if in_sweep and run_folder.is_finished(folder, job):
            console.say(f"{folder}: finished before")
            return
        run.run(job, folder, replace=in_sweep, loader=prepare.of_the_sweep if in_sweep else None)
    except KeyboardInterrupt:
        console.say(f"gpussl: interrupted; {folder} is not complete")
        sys.exit(INTERRUPTED)
    except Exception as error:
        error = _told(error)
        if not in_sweep and not isinstance(error, (GpusslError, OSError)):
            raise
        console.say(f"gpussl: error: {error}")
        if not in_sweep:
            sys.exit(2)
        if not isinstance(error, (GpusslError, OSError)):
            traceback.print_exception(error)
        # the other jobs go on; what failed is named when they are gathered
        store.write_text(folder / FAILED, f"{type(error).__name__}: {error}\n")


def _told(error: Exception) -> Exception:
    """The error itself; if it comes of an allocator that found no memory, one that says what to do."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":  # CuPy's, PyTorch's
            said = str(cause).strip().splitlines() or ["out of memory"]
            return DeviceError(
                f"memory: expected enough for this run, found no more ({said[0]}); take fewer points or clusters, "
                "close what else needs memory, or take device=cpu and a memory_limit, which leaves large data on disk"
            )
        cause = cause.__cause__ or cause.__context__
    return error


if __name__ == "__main__":
    main()
