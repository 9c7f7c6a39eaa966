"""A session's cache: exact after going back, within its bound, and never wrong about what is visible."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from node.slices import cache as cache_module
from node.slices.cache import LayerCache, SliceCache, capacity
from node.slices.errors import TruncatedTooFar
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from scripts.make_model import TINY
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that grow, slide and forget after a few positions."""
    monkeypatch.setattr(cache_module, "GROWTH_POSITIONS", 4)
    monkeypatch.setattr(cache_module, "ROLLBACK_POSITIONS", 6)


def middle(folder_of: TinyModels, family: str, start: int = 0, end: int = 5) -> Slice:
    spec = SliceSpec(checkpoint=folder_of(family), layers=LayerRange(start, end), dtype="float32")
    return load_slice(spec)


def run(piece: Slice, cache: SliceCache, x: torch.Tensor) -> torch.Tensor:
    return piece.forward(x, cache=cache, position=cache.length, want=Want.HIDDEN)


def hidden(count: int, seed: int) -> torch.Tensor:
    return torch.randn(1, count, 64, generator=torch.Generator().manual_seed(seed))


Steps = st.lists(st.tuples(st.sampled_from(["write", "truncate"]), st.integers(0, 40)), max_size=25)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("window", [None, 2, 5, 8])
def test_a_layer_shows_exactly_the_rows_a_list_would_and_stays_within_its_capacity(
    window: int | None,
) -> None:
    @settings(deadline=None)
    @given(Steps)
    def check(steps: list[tuple[str, int]]) -> None:
        layer, rows, longest, fresh = LayerCache(window), list[float](), 0, 0.0
        for action, amount in steps:
            if action == "truncate":
                length = min(amount, len(rows))
                if 0 < length < layer.reachable():
                    assert window is not None
                    assert length < longest - cache_module.ROLLBACK_POSITIONS
                    continue
                if length == 0:
                    layer.clear()
                del rows[length:]
                continue
            if amount == 0:
                continue
            new = [fresh + n for n in range(amount)]
            fresh += amount
            position = len(rows)
            tensor = torch.tensor(new).view(1, 1, -1, 1).expand(1, 2, -1, 3)
            keys, values = layer.write(tensor, -tensor, position)
            rows += new
            longest = max(longest, len(rows))
            expected = rows[0 if window is None else max(0, position - window + 1) :]
            assert keys.shape == (1, 2, len(expected), 3)
            assert keys[0, 1, :, 2].tolist() == expected
            assert torch.equal(values, -keys)
            assert layer.keys is not None
            assert layer.keys.shape[-2] <= capacity(longest, window)

    check()


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text", "deepseek_v3", "gpt_oss"])
def test_going_back_and_on_is_bit_for_bit_as_if_the_dropped_tokens_had_never_been(
    tiny: TinyModels, family: str
) -> None:
    piece = middle(tiny, family)
    back, straight = piece.new_cache(LayerRange(0, 5)), piece.new_cache(LayerRange(0, 5))
    for cache in (back, straight):
        run(piece, cache, hidden(21, 1))
        run(piece, cache, hidden(1, 2))
    for seed in range(10, 16):  # ends at a length where the sliding buffers have moved on
        run(piece, back, hidden(1, seed))
    back.truncate(22)
    for seed, count in ((30, 1), (31, 3), (32, 1), (33, 17), (34, 1)):
        x = hidden(count, seed)
        assert torch.equal(run(piece, back, x), run(piece, straight, x))
    assert back.length == straight.length == 45


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("family", ["mistral", "gemma3_text", "deepseek_v3", "gpt_oss"])
def test_buffers_that_slide_and_forget_give_what_transformers_own_cache_gives(
    tiny: TinyModels, family: str
) -> None:
    spec = SliceSpec(checkpoint=tiny(family), layers=LayerRange(0, 5), embed=True, head=True, dtype="float32")
    piece = load_slice(spec)
    whole = AutoModelForCausalLM.from_pretrained(tiny(family), dtype=torch.float32).eval()
    cache, theirs = piece.new_cache(LayerRange(0, 5)), None
    for step, count in enumerate((3, 11, 1, 1, 40, 1, 6, *[1] * 30)):
        ids = torch.randint(3, 131, (1, count), generator=torch.Generator().manual_seed(step))
        with torch.inference_mode():
            out = whole(ids, past_key_values=theirs, use_cache=True, logits_to_keep=1)
        theirs = out.past_key_values
        ours = piece.forward(ids, cache=cache, position=cache.length, want=Want.LOGITS)
        assert torch.equal(ours, out.logits[0, -1])


@pytest.mark.usefixtures("small_steps")
def test_going_back_to_nothing_is_always_possible_and_further_than_the_window_keeps_is_an_error(
    tiny: TinyModels,
) -> None:
    piece = middle(tiny, "mistral")
    cache = piece.new_cache(LayerRange(0, 5))
    for seed in range(60):
        run(piece, cache, hidden(1, seed))
    with pytest.raises(TruncatedTooFar) as caught:
        cache.truncate(5)
    assert cache.length == 60
    assert caught.value.reachable <= 60 - 6
    cache.truncate(0)
    fresh = piece.new_cache(LayerRange(0, 5))
    x = hidden(9, 99)
    assert torch.equal(run(piece, cache, x), run(piece, fresh, x))


def test_a_length_that_never_was_cannot_be_truncated_to(tiny: TinyModels) -> None:
    piece = middle(tiny, "llama", 1, 2)
    cache = piece.new_cache(LayerRange(1, 2))
    run(piece, cache, hidden(3, 0))
    for length in (-1, 4):
        with pytest.raises(ValueError, match="truncate"):
            cache.truncate(length)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("family", sorted(TINY))
def test_the_bytes_promised_before_are_never_passed(tiny: TinyModels, family: str) -> None:
    piece = middle(tiny, family)
    for layers in (LayerRange(0, 5), LayerRange(1, 3), LayerRange(4, 5)):
        cache = piece.new_cache(layers)
        assert cache.nbytes == 0
        for count in (13, 1, 1, 30, 1, 1):
            promised = piece.kv_bytes(layers, cache.length + count)
            run(piece, cache, hidden(count, count))
            assert 0 < cache.nbytes <= promised


def test_the_promise_for_full_attention_is_tight_and_that_for_sliding_layers_is_bounded() -> None:
    assert capacity(1, None) == 128
    assert capacity(129, None) == 256
    assert capacity(1_000_000, 512) == capacity(2_000_000, 512) <= 512 + 1_024 + 256
