"""python -m gpussl.data NAME: see to it that a data set can be loaded, fetching it if need be."""

import sys

from hydra import compose, initialize_config_dir

from gpussl.errors import DataNotFoundError, GpusslError
from gpussl.protocols import Source
from gpussl.runtime import config, console


def main(name: str) -> None:
    """Load the data set once. Where no source has it, exit with code 1; where it is broken, with code 2."""
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        cfg = compose("config", [f"data={name}"])
    try:
        config.instantiate(cfg.data, "data", Source).load()
    except DataNotFoundError:
        console.say(f"gpussl: {name} is in none of its folders, and no mirror of it answers")
        sys.exit(1)
    except GpusslError as error:
        console.say(f"gpussl: error: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main(*sys.argv[1:])
