"""python -m gpussl.data NAME: see to it that a data set can be loaded, fetching it if need be."""

import sys

from hydra import compose, initialize_config_dir

from gpussl import config, console
from gpussl.errors import GpusslError


def main(name: str) -> None:
    """Load the data set once; where it is not to be had, say why and exit with code 2."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", [f"data={name}"])
    try:
        config.instantiate(cfg.data, "data").load()
    except GpusslError as error:
        console.say(f"gpussl: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main(*sys.argv[1:])
