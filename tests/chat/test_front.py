"""The client's own layers, then a host's, are the whole model; with private ends the client's head too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chat.front import Front
from node.slices import sampling, tensors
from node.slices.load import load_slice
from node.slices.spec import SliceSpec, Want
from scripts.make_model import write_tiny
from wire.messages.forward import Output
from wire.types import LayerRange, Sampling, SessionId

IDS = (5, 17, 99, 4, 8)
WHOLE = LayerRange(0, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "gemma2", "gemma2")


@pytest.mark.parametrize("front_layers", [0, 1, 3])
def test_front_and_host_together_are_the_whole_model(folder: Path, front_layers: int) -> None:
    whole = load_slice(SliceSpec(checkpoint=folder, layers=WHOLE, embed=True, head=True, dtype="float32"))
    want = whole.forward(tensors.from_ids(IDS), cache=whole.new_cache(WHOLE), position=0, want=Want.LOGITS)
    front = Front.load(folder, front_layers=front_layers, private_ends=False, dtype="float32")
    rest = LayerRange(front_layers, 5)
    host = load_slice(SliceSpec(checkpoint=folder, layers=rest, head=True, dtype="float32"))
    spec, body = front.forward(IDS, 0)
    got = host.forward(
        tensors.from_wire(spec, body), cache=host.new_cache(rest), position=0, want=Want.LOGITS
    )
    assert torch.equal(got, want)


def test_private_ends_draw_the_token_the_whole_model_draws(folder: Path) -> None:
    whole = load_slice(SliceSpec(checkpoint=folder, layers=WHOLE, embed=True, head=True, dtype="float32"))
    front = Front.load(folder, front_layers=2, private_ends=True, dtype="float32")
    rest = LayerRange(2, 5)
    host = load_slice(SliceSpec(checkpoint=folder, layers=rest, dtype="float32"))
    cache, reference = host.new_cache(rest), whole.new_cache(WHOLE)
    drawn = Sampling(temperature=0.9, seed=11)
    ids: tuple[int, ...] = IDS
    position = 0
    for _ in range(6):
        spec, body = front.forward(ids, position)
        hidden = host.forward(tensors.from_wire(spec, body), cache=cache, position=position, want=Want.HIDDEN)
        want = whole.forward(tensors.from_ids(ids), cache=reference, position=position, want=Want.LOGITS)
        position += len(ids)
        last_spec, last = tensors.to_wire(hidden[:, -1:, :])
        output = Output(
            session=SessionId(bytes(16)),
            epoch=0,
            step=0,
            position=position - 1,
            dtype=last_spec.dtype,
            shape=last_spec.shape,
            trace=(),
            body=last,
        )
        token = front.finish(output, drawn)
        assert token == sampling.draw(tensors.to_numpy(want), drawn, position)
        ids = (token,)


def test_truncate_forgets_positions(folder: Path) -> None:
    front = Front.load(folder, front_layers=1, private_ends=False, dtype="float32")
    # Steps of the same sizes on both sides: a matrix product of other rows rounds otherwise.
    front.forward(IDS[:2], 0)
    front.forward((40, 41, 42, 43), 2)
    front.truncate(2)
    spec, body = front.forward(IDS[2:], 2)
    fresh = Front.load(folder, front_layers=1, private_ends=False, dtype="float32")
    fresh.forward(IDS[:2], 0)
    assert (spec, bytes(body)) == (spec, bytes(fresh.forward(IDS[2:], 2)[1]))


def test_a_client_without_the_head_does_not_draw(folder: Path) -> None:
    front = Front.load(folder, front_layers=1, private_ends=False, dtype="float32")
    spec, body = front.forward(IDS[:1], 0)
    output = Output(
        session=SessionId(bytes(16)),
        epoch=0,
        step=0,
        position=0,
        dtype=spec.dtype,
        shape=spec.shape,
        trace=(),
        body=body,
    )
    with pytest.raises(ValueError, match="does not hold the head"):
        front.finish(output, Sampling())


@pytest.mark.parametrize("positions", [1, 40, 300])
def test_the_memory_of_a_layer_is_judged_by_the_least_of_the_layers_here(
    folder: Path, positions: int
) -> None:
    front = Front.load(folder, front_layers=3, private_ends=False, dtype="float32")
    each = [front.first.kv_bytes(LayerRange(one, one + 1), positions) for one in range(3)]
    assert front.kv_bytes_per_layer(positions) == min(each) > 0
    none = Front.load(folder, front_layers=0, private_ends=False, dtype="float32")
    assert none.kv_bytes_per_layer(positions) == 0
