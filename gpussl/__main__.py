"""The command: python -m gpussl, or gpussl."""

import os
import sys
from typing import Any

# Everything else is imported late, so that Ctrl-C is handled during imports too, and --help does not wait for them.

INTERRUPTED = 130  # the exit code that shells give a program ended by Ctrl-C


def main() -> None:
    """Run the command, and exit with its code."""
    # Before PyTorch and scikit-learn are loaded: threads that spin while they wait are a fifth faster on an idle
    # machine, and take minutes where other programs want the cores. The results are the same.
    if os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1):  # more than one run of ours before this one
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from gpussl.runtime import command

        command.start(run)
    except KeyboardInterrupt:
        sys.stderr.write("gpussl: interrupted\n")
        sys.exit(INTERRUPTED)


def run(cfg: Any) -> None:
    """Run the job that a composed configuration describes, in the folder that Hydra has made."""
    import traceback
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from gpussl.errors import GpusslError
    from gpussl.runtime import command, config, console

    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    in_sweep = hydra_cfg.mode is RunMode.MULTIRUN
    try:
        job = config.build(cfg)
        from gpussl.report.manifest import FAILED  # after the checks: they do not wait for this import
        from gpussl.tasks import prepare, run_folder
        from gpussl.tasks import run as tasks

        (folder / FAILED).unlink(missing_ok=True)  # from an earlier attempt
        if in_sweep and run_folder.is_finished(folder, job):
            console.say(f"{folder}: already finished")
            return
        tasks.run(job, folder, replace=in_sweep, loader=prepare.of_the_sweep if in_sweep else None)
    except KeyboardInterrupt:
        console.say(f"gpussl: interrupted; {folder} is not complete")
        sys.exit(INTERRUPTED)
    except Exception as error:
        told = command.told(error)
        if not isinstance(told, GpusslError):
            traceback.print_exception(error)
        if not in_sweep:
            if isinstance(told, GpusslError):
                config.discard_fresh(folder)
                command.refuse(str(told))
            sys.exit(1)
        console.say(f"gpussl: error: {told}")
        with command.refusing():  # the other jobs go on; failures are reported when results are gathered
            from gpussl.report.manifest import FAILED
            from gpussl.runtime import store

            store.write_text(folder / FAILED, f"{type(told).__name__}: {told}\n")


if __name__ == "__main__":
    main()
