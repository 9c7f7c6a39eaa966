"""transformers as it comes: `from_pretrained`, its own cache, one forward a token.

python -m scripts.bench.engines.eager FOLDER DTYPE THREADS
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from node.slices import threads
from scripts.bench.engines import asked


class Eager:
    """The family's own class, unchanged."""

    def __init__(self, folder: Path, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.torch = torch
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def begin(self, ids: list[int], chunk: int) -> int:
        """See `asked.Engine`."""
        self.cache: Any = None
        chunk = chunk or len(ids)
        for at in range(0, len(ids), chunk):
            token = self._forward(ids[at : at + chunk])
        return token

    def step(self, token: int) -> int:
        """See `asked.Engine`."""
        return self._forward([token])

    def _forward(self, ids: list[int]) -> int:
        with self.torch.inference_mode():
            out = self.model(
                self.torch.tensor([ids]), past_key_values=self.cache, use_cache=True, logits_to_keep=1
            )
        self.cache = out.past_key_values
        return int(out.logits[0, -1].argmax())


def main() -> None:
    """Load and answer."""
    threads.prepare(int(sys.argv[3]))
    threads.apply()
    asked.answer(Eager(Path(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
