"""Labels at random."""

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace, device

from gpussl import seeds
from gpussl.records import Array, Buy, Clustering
from gpussl.select.checks import Budget


@dataclass(frozen=True)
class Random(Budget):
    """Points drawn at random, all alike."""

    name: ClassVar[str] = "random"

    def select(self, X: Array, clustering: Clustering, seed: int, buy: Buy) -> Array:
        """Indices (n_labels,) of the points, ascending and different.

        Raises
        ------
        ConfigError
            More labels than points.
        """
        n = clustering.labels.shape[0]
        self.check_size(n)
        drawn = seeds.generator(seed, "random").choice(n, size=self.n_labels, replace=False)
        drawn.sort()
        return array_namespace(clustering.labels).asarray(drawn, device=device(clustering.labels))
