"""The proof: every cut of every family on the list gives, bit for bit, what the whole model gives.

For each family a tiny checkpoint is built, every `[0, a)`, `[a, b)` and `[b, L)` is loaded on its own, and the chains
of all cuts run side by side with the whole model: a 13-token prompt, longer than the sliding window, then 32 tokens
greedily, then some with seeded sampling. Two middles that differ only in where they begin must agree too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from node.slices import sampling
from node.slices.cache import SliceCache
from node.slices.families import FAMILIES
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from scripts.make_model import TINY, write_tiny
from wire.types import LayerRange, Sampling

PROMPT_TOKENS = 13
GREEDY_TOKENS = 32
SAMPLED_TOKENS = 12
SAMPLED = Sampling(temperature=1.5, top_k=100, top_p=0.98, seed=7)


class Chains:
    """All cuts of one checkpoint into front, middle and tail, run in step."""

    def __init__(self, folder: Path, num_layers: int) -> None:
        self.num_layers = num_layers

        def load(start: int, end: int, *, embed: bool = False, head: bool = False) -> Slice:
            layers = LayerRange(start, end)
            return load_slice(
                SliceSpec(checkpoint=folder, layers=layers, embed=embed, head=head, dtype="float32")
            )

        count = num_layers
        self.fronts = {a: load(0, a, embed=True) for a in range(count)}
        self.middles = {(a, b): load(a, b) for a in range(count) for b in range(a + 1, count + 1)}
        self.tails = {b: load(b, count, head=True) for b in range(1, count + 1)}

    def begin(self) -> None:
        self.caches: dict[Any, SliceCache] = {}
        for slices in (self.fronts, self.middles, self.tails):
            for key, piece in slices.items():
                self.caches[(id(slices), key)] = piece.new_cache(piece.spec.layers)

    def step(self, ids: torch.Tensor, position: int) -> list[torch.Tensor]:
        """The logits `[V]` of every tail, after checking that all chains that share a boundary agree there."""

        def run(slices: Any, key: Any, x: torch.Tensor, want: Want) -> torch.Tensor:
            cache = self.caches[(id(slices), key)]
            out = slices[key].forward(x, cache=cache, position=position, want=want)
            assert isinstance(out, torch.Tensor)
            return out

        boundary = {a: run(self.fronts, a, ids, Want.HIDDEN) for a in self.fronts}
        for a, b in self.middles:
            out = run(self.middles, (a, b), boundary[a], Want.HIDDEN)
            assert torch.equal(out, boundary.setdefault(b, out)), f"layers {a}:{b} differ"
        return [run(self.tails, b, boundary[b], Want.LOGITS) for b in self.tails]


@pytest.fixture(params=sorted(TINY))
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tiny(tmp_path, request.param)


def test_every_cut_of_a_family_equals_the_whole_model_bit_for_bit(checkpoint: Path) -> None:
    whole = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    assert len(list(checkpoint.glob("*.safetensors"))) > 1
    chains = Chains(checkpoint, whole.config.num_hidden_layers)
    prompt = torch.randint(3, 131, (1, PROMPT_TOKENS), generator=torch.Generator().manual_seed(5))
    drawn: list[int] = []
    for parameters, count in ((Sampling(), GREEDY_TOKENS), (SAMPLED, SAMPLED_TOKENS)):
        chains.begin()
        cache, ids, position = None, prompt, 0
        for _ in range(count):
            with torch.inference_mode():
                out = whole(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, expected = out.past_key_values, out.logits[0, -1]
            for logits in chains.step(ids, position):
                assert torch.equal(logits, expected)
            position += ids.shape[1]
            drawn.append(sampling.draw(expected.numpy(), parameters, position))
            ids = torch.tensor([drawn[-1:]])
    assert len(set(drawn)) > 4


def test_the_families_proven_here_at_every_cut_are_on_the_list() -> None:
    assert set(TINY) <= set(FAMILIES)


@pytest.mark.parametrize("family", ["gemma3_text", "llama"])
def test_numpy_sees_the_logits_the_sampler_is_given(family: str, tmp_path: Path) -> None:
    folder = write_tiny(tmp_path, family)
    spec = SliceSpec(checkpoint=folder, layers=LayerRange(0, 5), embed=True, head=True, dtype="bfloat16")
    whole = load_slice(spec)
    logits = whole.forward(
        torch.tensor([[5, 6, 7]]), cache=whole.new_cache(LayerRange(0, 5)), position=0, want=Want.LOGITS
    )
    assert logits.dtype is torch.float32
    assert logits.numpy().dtype == np.float32
    assert logits.shape == (131,)
