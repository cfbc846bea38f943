"""The command: python -m gpussl, or gpussl."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gpussl import config, console
from gpussl.errors import GpusslError

config.register()


@hydra.main(version_base="1.3", config_path=str(config.folder()), config_name="config")
def main(cfg: DictConfig) -> None:
    """Run the job that the configuration describes."""
    from gpussl import pipeline  # late, so that --help and refusals need not wait for PyTorch

    try:
        pipeline.run(config.build(cfg), Path(HydraConfig.get().runtime.output_dir))
    except GpusslError as error:
        console.stderr.print(f"gpussl: error: {error}", markup=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
