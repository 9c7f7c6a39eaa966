"""What a slice does for its sessions, and what it refuses."""

from __future__ import annotations

import threading
import weakref

import pytest
import torch

from node.slices.cache import SliceCache
from node.slices.errors import (
    BadInput,
    CacheBroken,
    ContextFull,
    ForwardFailed,
    InvalidSlice,
    SliceError,
    WrongThread,
)
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.together import Step
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange

IDS = torch.tensor([[5, 9, 77, 31, 8, 100, 64, 12, 3, 90, 41, 7, 55]])
WHOLE = LayerRange(0, 5)


def load(
    tiny: TinyModels, family: str, start: int, end: int, *, embed: bool = False, head: bool = False
) -> Slice:
    spec = SliceSpec(
        checkpoint=tiny(family), layers=LayerRange(start, end), embed=embed, head=head, dtype="float32"
    )
    return load_slice(spec)


def whole(tiny: TinyModels, family: str) -> Slice:
    return load(tiny, family, 0, 5, embed=True, head=True)


def decode(chain: list[tuple[Slice, LayerRange]], steps: int = 6) -> list[torch.Tensor]:
    """Greedy logits of a chain of (slice, layers used of it), the prompt first."""
    caches = [piece.new_cache(layers) for piece, layers in chain]
    x, position, out = IDS, 0, []
    for _ in range(steps):
        count, value = x.shape[1], x
        for (piece, _), cache in zip(chain, caches, strict=True):
            want = Want.LOGITS if piece is chain[-1][0] and cache is caches[-1] else Want.HIDDEN
            value = piece.forward(value, cache=cache, position=position, want=want)
        out.append(value)
        position += count
        x = value.argmax().view(1, 1)
    return out


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "granite", "cohere2"])
def test_ends_held_alone_equal_the_whole(tiny: TinyModels, family: str) -> None:
    """Private ends: embedding (with its multiplier) and head (with its norm and caps) apart from all layers."""
    embed, head = load(tiny, family, 0, 0, embed=True), load(tiny, family, 5, 5, head=True)
    layers = load(tiny, family, 0, 5)
    both = load(tiny, family, 0, 5, embed=True, head=True)
    expected = decode([(both, WHOLE)])
    chain = [(embed, LayerRange(0, 0)), (layers, WHOLE), (head, LayerRange(5, 5))]
    assert equal(decode(chain), expected)
    # One slice may serve several stretches of one route, and both ends of it.
    stretches = [LayerRange(0, 0), LayerRange(0, 2), LayerRange(2, 5), LayerRange(5, 5)]
    assert equal(decode([(both, part) for part in stretches[:-1]] + [(head, LayerRange(5, 5))]), expected)


@pytest.mark.parametrize("family", ["qwen2", "gemma3_text", "deepseek_v3"])
def test_parts_of_overlapping_slices_make_a_chain(tiny: TinyModels, family: str) -> None:
    front = load(tiny, family, 0, 3, embed=True)
    middle = load(tiny, family, 1, 4)
    tail = load(tiny, family, 2, 5, head=True)
    expected = decode([(whole(tiny, family), WHOLE)])
    for a, b in ((1, 2), (2, 3), (3, 4), (1, 4), (2, 4)):
        chain = [(front, LayerRange(0, a)), (middle, LayerRange(a, b)), (tail, LayerRange(b, 5))]
        assert equal(decode(chain), expected)


@pytest.mark.parametrize("family", ["llama", "gemma2", "mixtral", "gpt_oss"])
def test_sessions_that_take_turns_get_what_each_would_get_alone(tiny: TinyModels, family: str) -> None:
    piece = load(tiny, family, 1, 4)
    inputs = [
        [torch.randn(1, 9 + k, 64, generator=torch.Generator().manual_seed(k))]
        + [torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(100 * k + n)) for n in range(5)]
        for k in range(3)
    ]
    layers = [LayerRange(1, 4), LayerRange(2, 4), LayerRange(1, 3)]

    def step(cache: SliceCache, x: torch.Tensor) -> torch.Tensor:
        return piece.forward(x, cache=cache, position=cache.length, want=Want.HIDDEN)

    alone = []
    for k in range(3):
        cache = piece.new_cache(layers[k])
        alone.append([step(cache, x) for x in inputs[k]])
    caches = [piece.new_cache(part) for part in layers]
    for n in range(6):
        for k in (2, 0, 1) if n % 2 else (0, 1, 2):
            assert torch.equal(step(caches[k], inputs[k][n]), alone[k][n])


def test_leaving_out_a_layer_changes_the_logits_so_the_proof_can_fail(tiny: TinyModels) -> None:
    piece = whole(tiny, "llama")
    honest = decode([(piece, WHOLE)])
    skipped = decode([(piece, LayerRange(0, 2)), (load(tiny, "llama", 3, 5, head=True), LayerRange(3, 5))])
    assert not torch.allclose(honest[0], skipped[0], atol=1e-2)


def test_hidden_states_of_another_dtype_are_cast_to_the_slices(tiny: TinyModels) -> None:
    piece = load(tiny, "llama", 1, 2)
    x = torch.randn(1, 3, 64).to(torch.bfloat16)
    cache, again = piece.new_cache(LayerRange(1, 2)), piece.new_cache(LayerRange(1, 2))
    out = piece.forward(x, cache=cache, position=0, want=Want.HIDDEN)
    assert out.dtype is torch.float32
    assert torch.equal(out, piece.forward(x.float(), cache=again, position=0, want=Want.HIDDEN))


def test_facts_of_the_model_can_be_read(tiny: TinyModels) -> None:
    piece = load(tiny, "qwen3", 1, 2)
    assert (piece.model_type, piece.num_layers, piece.hidden_size) == ("qwen3", 5, 64)
    assert (piece.vocab_size, piece.max_positions) == (131, 512)
    assert piece.weight_bytes > 100_000


@pytest.mark.parametrize(
    ("x", "position", "want", "reason"),
    [
        (torch.zeros(1, 3, 63), 0, Want.HIDDEN, "shape"),
        (torch.zeros(2, 3, 64), 0, Want.HIDDEN, "shape"),
        (torch.zeros(1, 0, 64), 0, Want.HIDDEN, "shape"),
        (torch.zeros(64), 0, Want.HIDDEN, "shape"),
        (torch.zeros(1, 3, 64, dtype=torch.int32), 0, Want.HIDDEN, "dtype"),
        (torch.zeros(1, 3, 64), 1, Want.HIDDEN, "position"),
        (torch.zeros(1, 3, 64), -1, Want.HIDDEN, "position"),
        (torch.zeros(1, 3, 64), 0, Want.LOGITS, "logits"),
        (torch.zeros(1, 3, dtype=torch.int64), 0, Want.HIDDEN, "embedding"),
    ],
)
def test_an_input_that_does_not_fit_a_middle_slice_is_refused_and_changes_nothing(
    tiny: TinyModels, x: torch.Tensor, position: int, want: Want, reason: str
) -> None:
    piece = load(tiny, "llama", 1, 3)
    cache = piece.new_cache(LayerRange(1, 3))
    with pytest.raises(BadInput, match=reason):
        piece.forward(x, cache=cache, position=position, want=want)
    assert cache.length == 0
    assert cache.nbytes == 0


@pytest.mark.parametrize("ids", [[[131]], [[-1]], [[5], [6]], [5], [[]]])
def test_token_ids_that_do_not_exist_or_do_not_fit_are_refused(tiny: TinyModels, ids: list[object]) -> None:
    piece = load(tiny, "llama", 0, 1, embed=True)
    with pytest.raises(BadInput, match="token ids"):
        piece.forward(
            torch.tensor(ids, dtype=torch.int64),
            cache=piece.new_cache(LayerRange(0, 1)),
            position=0,
            want=Want.HIDDEN,
        )


def test_the_context_ends_where_the_model_says(tiny: TinyModels) -> None:
    piece = load(tiny, "llama", 1, 2)
    cache = piece.new_cache(LayerRange(1, 2))
    piece.forward(torch.zeros(1, 511, 64), cache=cache, position=0, want=Want.HIDDEN)
    with pytest.raises(ContextFull):
        piece.forward(torch.zeros(1, 2, 64), cache=cache, position=511, want=Want.HIDDEN)
    piece.forward(torch.zeros(1, 1, 64), cache=cache, position=511, want=Want.HIDDEN)
    assert cache.length == 512


def test_caches_are_made_only_for_layers_the_slice_has_and_taken_only_by_their_maker(
    tiny: TinyModels,
) -> None:
    piece, other = load(tiny, "llama", 1, 3), load(tiny, "llama", 1, 3)
    for layers in (LayerRange(0, 2), LayerRange(2, 4), LayerRange(2, 2)):
        with pytest.raises(InvalidSlice):
            piece.new_cache(layers)
    cache = other.new_cache(LayerRange(1, 3))
    with pytest.raises(BadInput, match="another slice"):
        piece.forward(torch.zeros(1, 1, 64), cache=cache, position=0, want=Want.HIDDEN)


def test_a_slice_that_is_released_frees_its_weights_whoever_holds_it(tiny: TinyModels) -> None:
    held = whole(tiny, "llama")
    cache = held.new_cache(WHOLE)
    weights = [weakref.ref(one) for one in held._model.parameters()]
    held.release()
    held.release()
    assert weights and {one() for one in weights} == {None}
    assert held.weight_bytes > 0
    with pytest.raises(BadInput, match="released"):
        held.forward(IDS, cache=cache, position=0, want=Want.LOGITS)


def test_a_slice_refuses_a_thread_that_did_not_load_it(tiny: TinyModels) -> None:
    piece = load(tiny, "llama", 1, 2)
    caught: list[SliceError] = []

    def run() -> None:
        try:
            cache = piece.new_cache(LayerRange(1, 2))
            piece.forward(torch.zeros(1, 1, 64), cache=cache, position=0, want=Want.HIDDEN)
        except SliceError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert [type(error) for error in caught] == [WrongThread]


def test_a_forward_that_fails_half_way_breaks_its_session_and_no_other(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = load(tiny, "llama", 1, 3)
    broken, fine = piece.new_cache(LayerRange(1, 3)), piece.new_cache(LayerRange(1, 3))

    def out_of_memory(*args: object, **kwargs: object) -> None:
        raise RuntimeError("cannot allocate")

    with monkeypatch.context() as patch:
        patch.setattr(type(broken.model_cache), "update", out_of_memory)
        with pytest.raises(ForwardFailed, match="cannot allocate"):
            piece.forward(torch.zeros(1, 2, 64), cache=broken, position=0, want=Want.HIDDEN)
    with pytest.raises(CacheBroken):
        piece.forward(torch.zeros(1, 2, 64), cache=broken, position=0, want=Want.HIDDEN)
    piece.forward(torch.zeros(1, 2, 64), cache=fine, position=0, want=Want.HIDDEN)
    broken.truncate(0)
    piece.forward(torch.zeros(1, 2, 64), cache=broken, position=0, want=Want.HIDDEN)


def run_beside(chain: list[Slice], caches: list[SliceCache], ids: torch.Tensor) -> torch.Tensor:
    """The logits of a chain whose layers are given the ids where they need them."""
    x = ids
    for index, (piece, cache) in enumerate(zip(chain, caches, strict=True)):
        want = Want.LOGITS if piece.spec.head else Want.HIDDEN
        beside = ids if index and piece.needs_tokens(cache.layers) else None
        x = piece.forward(x, cache=cache, position=cache.length, want=want, ids=beside)
    return x


def test_layers_that_need_tokens_are_cut_back_exactly(tiny: TinyModels) -> None:
    ranges = (("gemma3n_text", 2), ("gemma4_text", 3))
    for family, cut in ranges:
        chain = [
            load(tiny, family, 0, 1, embed=True),
            load(tiny, family, 1, cut),
            load(tiny, family, cut, 5, head=True),
        ]
        caches = [piece.new_cache(piece.spec.layers) for piece in chain]
        run_beside(chain, caches, IDS)
        expected = run_beside(chain, caches, IDS[:, :4])
        for cache in caches:
            cache.truncate(IDS.shape[1])
        assert torch.equal(run_beside(chain, caches, IDS[:, :4]), expected)


def test_ids_are_taken_just_where_they_are_needed_and_never_others_than_of_this_model(
    tiny: TinyModels,
) -> None:
    piece = load(tiny, "gemma3n_text", 1, 2)
    assert (piece.hidden_size, piece.width, piece.tokens_until) == (64, 256, 5)
    hidden = torch.zeros(1, 2, 256)
    ids = torch.tensor([[5, 6]])
    wrong: list[tuple[torch.Tensor | None, str]] = [
        (None, "need the token ids"),
        (ids[:, :1], "1 token ids beside the hidden states of 2"),
        (ids + 130, "from 0 to 130"),
        (ids.float(), "expected"),
        (ids[0], "expected"),
    ]
    cache = piece.new_cache(LayerRange(1, 2))
    for given, words in wrong:
        with pytest.raises(BadInput, match=words):
            piece.forward(hidden, cache=cache, position=0, want=Want.HIDDEN, ids=given)
    with pytest.raises(BadInput, match="256"):
        piece.forward(hidden[..., :64], cache=cache, position=0, want=Want.HIDDEN, ids=ids)
    piece.forward(hidden, cache=cache, position=0, want=Want.HIDDEN, ids=ids)
    plain = load(tiny, "llama", 1, 2)
    with pytest.raises(BadInput, match="no token ids"):
        plain.forward(
            torch.zeros(1, 2, 64),
            cache=plain.new_cache(LayerRange(1, 2)),
            position=0,
            want=Want.HIDDEN,
            ids=ids,
        )


def test_layers_that_share_keys_are_loaded_and_used_whole(tiny: TinyModels) -> None:
    with pytest.raises(InvalidSlice, match="layers 2:5 share keys"):
        load(tiny, "gemma3n_text", 1, 3)
    piece = load(tiny, "gemma3n_text", 1, 5)
    piece.new_cache(LayerRange(1, 2))
    with pytest.raises(InvalidSlice, match="layers 2:5 share keys"):
        piece.new_cache(LayerRange(1, 4))


def test_sessions_whose_layers_need_tokens_share_a_forward(tiny: TinyModels) -> None:
    tail = load(tiny, "gemma3n_text", 2, 5, head=True)
    alone, steps = [], []
    for index in range(2):
        hidden, ids = torch.randn(1, 4 + index, 256), IDS[:, index : 5 + 2 * index][:, : 4 + index]
        one, other = tail.new_cache(tail.spec.layers), tail.new_cache(tail.spec.layers)
        for cache in (one, other):
            tail.forward(hidden, cache=cache, position=0, want=Want.HIDDEN, ids=ids)
        x, token = torch.randn(1, 1, 256), IDS[:, 7 + index : 8 + index]
        alone.append(tail.forward(x, cache=one, position=one.length, want=Want.LOGITS, ids=token))
        steps.append(Step(x, other, other.length, Want.LOGITS, token))
    together = tail.forward_all(steps)
    assert tail.last_forward_was_shared
    for ours, theirs in zip(together, alone, strict=True):
        assert isinstance(ours, torch.Tensor)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-3 * float(theirs.abs().max()))
