"""The whole model as one slice: the kernels, caches and sampling of a host, without a network.

python -m scripts.bench.engines.ours FOLDER DTYPE THREADS [WEIGHTS]
"""

from __future__ import annotations

import sys
from pathlib import Path

from node.slices import threads
from scripts.bench.engines import asked
from wire.tensors import WeightFormat
from wire.types import LayerRange, Sampling


class Ours:
    """One slice of all layers."""

    def __init__(self, folder: Path, dtype: str, weights: WeightFormat) -> None:
        from node.slices.facts import read_facts
        from node.slices.load import load_slice
        from node.slices.spec import SliceSpec

        self.layers = LayerRange(0, read_facts(folder).num_layers)
        self.whole = load_slice(
            SliceSpec(
                checkpoint=folder, layers=self.layers, embed=True, head=True, dtype=dtype, weights=weights
            )
        )

    def begin(self, ids: list[int], chunk: int) -> int:
        """See `asked.Engine`."""
        self.cache = self.whole.new_cache(self.layers)
        chunk = chunk or len(ids)
        for at in range(0, len(ids), chunk):
            token = self._forward(ids[at : at + chunk])
        return token

    def step(self, token: int) -> int:
        """See `asked.Engine`."""
        return self._forward([token])

    def _forward(self, ids: list[int]) -> int:
        from node.slices import sampling, tensors
        from node.slices.spec import Want

        logits = self.whole.forward(
            tensors.from_ids(ids), cache=self.cache, position=self.cache.length, want=Want.LOGITS
        )
        return sampling.draw(tensors.to_numpy(logits), Sampling(), self.cache.length)


def main() -> None:
    """Load and answer."""
    threads.prepare(int(sys.argv[3]))
    threads.apply()
    weights = WeightFormat(sys.argv[4]) if len(sys.argv) > 4 else WeightFormat.NATIVE
    asked.answer(Ours(Path(sys.argv[1]), sys.argv[2], weights))


if __name__ == "__main__":
    main()
