"""The command: python -m gpussl, or gpussl."""

import contextlib
import os
import sys
from typing import Any

from gpussl.runtime import signals

WORDS = ("choose", "label", "learn", "predict", "doubt")

# Everything else is imported late, so that Ctrl-C is handled during imports too, and --help does not wait for them.


def main() -> None:
    """Run the command, and exit with its code."""
    # Before PyTorch and scikit-learn are loaded: threads that spin while they wait are a fifth faster on an idle
    # machine, and take minutes where other programs want the cores. The results are the same.
    if os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1):  # more than one run of ours before this one
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with signals.installed():
        try:
            from gpussl.runtime import command

            command.start(run, translate)
        except KeyboardInterrupt:
            with contextlib.suppress(OSError, AttributeError):  # stderr may be closed
                sys.stderr.write("gpussl: interrupted\n")
            sys.exit(signals.exit_code())


def translate(arguments: list[str]) -> list[str]:
    """Turn the words choose, label, learn, predict and doubt into Hydra's overrides."""
    if arguments[:1] not in ([word] for word in WORDS):
        return arguments
    from gpussl.tasks import words

    return words.translated(arguments)


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
        if in_sweep:
            command.register_job()
        job = config.build(cfg, hydra_cfg.overrides.task)
        from gpussl.tasks import prepare  # after the checks: they do not wait for this import
        from gpussl.tasks import run as tasks

        if job.task in tasks.PROJECT_TASKS:
            tasks.run_on_project(job)
            return
        loader = prepare.of_the_sweep if in_sweep else None
        tasks.run(job, folder, replace=in_sweep, loader=loader, also=command.hydras_files(cfg))
        if in_sweep:
            command.register_job(is_finished=True)
    except KeyboardInterrupt:
        command.end_interrupted(folder, cfg.project)
    except Exception as error:
        if signals.received:  # a library has turned the interrupt into another exception
            command.end_interrupted(folder, cfg.project)
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
            command.register_job(f"{type(told).__name__}: {told}")


if __name__ == "__main__":
    main()
