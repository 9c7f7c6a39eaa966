"""The proof: a cut model gives, bit for bit, what the whole model gives.

A third of the families on the list, those of `scripts.make_model` and of the others one of every kind, is proven here
on every change; `pytest -m all_families` and `scripts.prove_families` prove the rest.

For each of the first a tiny checkpoint is built, every `[0, a)`, `[a, b)` and `[b, L)` is loaded on its own, and the
chains of all cuts run side by side with the whole model: a 13-token prompt, longer than the sliding window, then 32
tokens greedily, then some with seeded sampling. Two middles that differ only in where they begin must agree too.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from node.slices import sampling
from node.slices.cache import SliceCache
from node.slices.families import FAMILIES, read_table
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from scripts.family_proof import prove, row_of
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


def features(family: str) -> set[str]:
    """What makes a family unlike others: what its layers keep, and what surrounds them."""
    entry = FAMILIES[family]
    found = {*entry.state, f"{entry.extra_outputs} extra outputs"}
    found |= {name for name in ("before", "after", "unused") if getattr(entry, name)}
    return found | {f"layers in {entry.stack}"} if "layers" not in entry.stack else found


def one_of_each(families: list[str]) -> set[str]:
    """Enough of the families that each feature of any is seen."""
    chosen: set[str] = set()
    seen: set[str] = set()
    for family in families:
        if not features(family) <= seen:
            chosen.add(family)
            seen |= features(family)
    return chosen


HEAVY = {"phi4_multimodal", "dots3_note_text", "longcat_flash", "aria_text", "axk2"}
"""Families whose tiny models are not tiny."""
OTHERS = sorted(set(FAMILIES) - set(TINY))
NAMED = {
    "mamba",
    "minimax",
    "falcon_h1",
    "nemotron_h",
    "ctrl",
    "llama4_text",
    "qwen2_5_vl",
    "qwen3_5",
    "gpt2",
    "gemma3n_text",
    "gemma4_text",
}
"""Families with an adapter or a wish of their own."""
SPREAD = {family for family in OTHERS if zlib.crc32(family.encode()) % 16 == 0}
"""Some of the rest, the same ones whatever is added to the list."""
THIRD = sorted(NAMED | one_of_each([family for family in OTHERS if family not in HEAVY]) | SPREAD - HEAVY)
CUTS = ((1, 3), (0, 5))


def check_family(family: str, folder: Path) -> None:
    assert row_of(prove(family, folder, CUTS)) == read_table()[family]


@pytest.mark.parametrize("family", THIRD)
def test_a_third_of_the_other_families_equals_the_whole_when_cut_in_three(
    family: str, tmp_path: Path
) -> None:
    check_family(family, tmp_path)


@pytest.mark.all_families
@pytest.mark.parametrize("family", sorted(set(OTHERS) - set(THIRD)))
def test_the_remaining_families_equal_the_whole_when_cut_in_three(family: str, tmp_path: Path) -> None:
    check_family(family, tmp_path)


def test_at_least_a_third_of_the_list_is_proven_on_every_change() -> None:
    assert len(FAMILIES) >= 100
    assert len(FAMILIES) / 3 <= len(THIRD) + len(TINY) <= len(FAMILIES) / 2.5
    proven = {*THIRD, *TINY}
    assert {kept for family in proven for kept in FAMILIES[family].state} == {
        kept for family in FAMILIES.values() for kept in family.state
    }


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
