"""The command: python -m gpussl, or gpussl."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gpussl import config, console, store
from gpussl.errors import GpusslError
from gpussl.report.sweep import FAILED

INTERRUPTED = 130  # the exit code of a shell's program that Ctrl-C ended

config.register()


@hydra.main(version_base="1.3", config_path=str(config.folder()), config_name="config")
def main(cfg: DictConfig) -> None:
    """Run the job that the configuration describes."""
    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    (folder / FAILED).unlink(missing_ok=True)  # of an earlier try in the same folder
    try:
        job = config.build(cfg)
        from gpussl import pipeline  # late, so that --help and refusals need not wait for it

        pipeline.run(job, folder)
    except KeyboardInterrupt:
        console.say(f"gpussl: interrupted; {folder} is not complete")
        sys.exit(INTERRUPTED)
    except (GpusslError, OSError) as error:
        console.say(f"gpussl: error: {error}")
        if hydra_cfg.mode is not RunMode.MULTIRUN:
            sys.exit(2)
        # the other jobs go on; what failed is named when they are gathered
        store.write_text(folder / FAILED, f"{error}\n")


if __name__ == "__main__":
    main()
