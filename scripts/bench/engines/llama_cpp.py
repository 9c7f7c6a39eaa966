"""llama.cpp, through the low-level calls of `llama-cpp-python`, on the same weights written as GGUF.

    python -m scripts.bench.engines.llama_cpp FILE.gguf THREADS

Needs the `bench` extra: `pip install -e .[bench]`, which compiles llama.cpp for this machine.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.engines import asked

CONTEXT = 2_048


class LlamaCpp:
    """One model and one context of llama.cpp."""

    def __init__(self, file: Path, threads: int) -> None:
        import llama_cpp

        self.lib: Any = llama_cpp
        self.silent = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(
            str(file).encode(), llama_cpp.llama_model_default_params()
        )
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = CONTEXT
        settings.n_ubatch = 512
        settings.n_threads = settings.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        if not self.context:
            raise SystemExit(f"llama.cpp cannot load {file}")

    def begin(self, ids: list[int], chunk: int) -> int:
        """See `asked.Engine`."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        chunk = chunk or len(ids)
        for at in range(0, len(ids), chunk):
            token = self._forward(ids[at : at + chunk])
        return token

    def step(self, token: int) -> int:
        """See `asked.Engine`."""
        return self._forward([token])

    def _forward(self, ids: list[int]) -> int:
        words = (self.lib.llama_token * len(ids))(*ids)
        if self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(words, len(ids))) != 0:
            raise SystemExit("llama.cpp could not decode")
        logits = self.lib.llama_get_logits_ith(self.context, -1)
        return int(np.ctypeslib.as_array(logits, shape=(self.vocabulary,)).argmax())


def main() -> None:
    """Load and answer."""
    asked.answer(LlamaCpp(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
