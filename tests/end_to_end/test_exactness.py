"""The pocket model over a chain is the pocket model, token for token and, in float32, logit for logit.

A right answer proves little: late layers of a small model can be left out unnoticed. So logits are compared, and
a slice that is slightly wrong must be seen. `scripts/bench/exact.py` runs the same comparison at full length.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from chat.errors import NoRoute
from node.slices import sampling, tensors
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.store import checkpoint
from scripts.bench import exact
from tests.end_to_end.conftest import Swarm
from tests.fakes import asking
from wire.types import LayerRange, Sampling

POCKET = checkpoint.resolve(checkpoint.POCKET)
LAYERS = LayerRange(0, 24)
PROMPT = [3, 17, 40, 99, 120, 5, 64, 200, 31, 7, 12]


def load(layers: LayerRange, folder: Path = POCKET, *, embed: bool = False, head: bool = False) -> Slice:
    return load_slice(SliceSpec(checkpoint=folder, layers=layers, embed=embed, head=head, dtype="float32"))


class InProcess:
    """Slices in a row; between two of them hidden states go through the form they travel in."""

    def __init__(self, cuts: list[int], folder: Path = POCKET) -> None:
        ranges = [LayerRange(start, end) for start, end in itertools.pairwise(cuts)]
        self.slices = [load(one, folder, embed=one.start == 0, head=one.end == 24) for one in ranges]

    def run(self, count: int, drawn: Sampling) -> tuple[list[int], list[torch.Tensor]]:
        caches = [one.new_cache(one.spec.layers) for one in self.slices]
        ids, position = PROMPT, 0
        tokens: list[int] = []
        logits: list[torch.Tensor] = []
        for _ in range(count):
            x = tensors.from_ids(ids)
            for held, cache in zip(self.slices, caches, strict=True):
                want = Want.LOGITS if held.spec.head else Want.HIDDEN
                x = held.forward(x, cache=cache, position=position, want=want)
                if want is Want.HIDDEN:
                    spec, body = tensors.to_wire(x)
                    x = tensors.from_wire(spec, bytes(body))
            position += len(ids)
            logits.append(x.clone())
            tokens.append(sampling.draw(tensors.to_numpy(x), drawn, position))
            ids = tokens[-1:]
        return tokens, logits


@pytest.mark.timeout(900)
def test_processes_over_the_network_give_the_whole_models_tokens() -> None:
    result = exact.compare(6, 40)
    assert result.tokens_compared == 2 * 6 * 40
    assert (result.answers_that_differ, result.first_difference) == (0, "")


@pytest.mark.parametrize("drawn", [exact.GREEDY, exact.SEEDED], ids=["greedy", "seeded"])
def test_logits_are_bit_identical_at_several_cuts(drawn: Sampling) -> None:
    tokens, logits = InProcess([0, 24]).run(64, drawn)
    for cuts in ([0, 1, 8, 16, 24], [0, 2, 3, 4, 24], [0, 12, 13, 23, 24]):
        split_tokens, split_logits = InProcess(cuts).run(64, drawn)
        assert split_tokens == tokens
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(split_logits, logits, strict=True))


@pytest.mark.parametrize("layer", [0, 5, 11, 16, 20, 23])
def test_a_slice_that_is_slightly_wrong_is_seen(tmp_path: Path, layer: int) -> None:
    folder = wrong_copy(tmp_path / "wrong", layer)
    _, logits = InProcess([0, 1, 8, 16, 24]).run(1, exact.GREEDY)
    _, wrong = InProcess([0, 1, 8, 16, 24], folder).run(1, exact.GREEDY)
    assert not torch.equal(logits[0], wrong[0])


async def test_hosts_of_a_changed_model_are_another_model(swarm: Swarm, tmp_path: Path) -> None:
    folder = wrong_copy(tmp_path / "wrong", 16)
    with swarm(POCKET, ["1:12"]) as right, swarm(folder, ["12:24"]) as wrong:
        async with asking.client(POCKET, (*right, *wrong), tmp_path / "identity") as client:
            with pytest.raises(NoRoute, match=r"12:24"):
                await asking.tokens(client.session, PROMPT, 4)


def wrong_copy(folder: Path, layer: int) -> Path:
    """The pocket model with one weight of one layer off by a little."""
    shutil.copytree(POCKET, folder)
    weights = load_file(folder / "model.safetensors")
    name = f"model.layers.{layer}.mlp.down_proj.weight"
    weights[name] = weights[name].clone()
    weights[name][0, 0] += 0.25
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
