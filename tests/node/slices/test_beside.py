"""What layers need beside hidden states follows from the config alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from node.slices import beside
from wire.types import LayerRange

KINDS = ["sliding", "full", "sliding", "full", "sliding", "full"]


def sharing(shared: int) -> SimpleNamespace:
    modes: list[str | None] = [None] * (6 - shared) + ["reuse"] * shared
    for kind in ("sliding", "full"):
        own = [index for index in range(6 - shared) if KINDS[index] == kind]
        modes[own[-1]] = "store"
    return SimpleNamespace(
        num_hidden_layers=6, num_kv_shared_layers=shared, layer_types=KINDS, kv_sharing_modes=modes
    )


def test_layers_that_share_keys_are_one_stretch_from_the_first_that_makes_some() -> None:
    assert beside.joined_layers(sharing(1)) == (LayerRange(3, 6),)
    assert beside.joined_layers(sharing(2)) == (LayerRange(2, 6),)
    assert beside.key_sources(sharing(2)) == {4: 2, 5: 3}
    assert beside.joined_layers(SimpleNamespace(num_hidden_layers=6)) == ()


@pytest.mark.parametrize("shared", [-1, 6, 7])
def test_a_config_in_which_all_layers_share_is_none(shared: int) -> None:
    with pytest.raises(ValueError, match="num_kv_shared_layers"):
        beside.joined_layers(SimpleNamespace(num_hidden_layers=6, num_kv_shared_layers=shared))


def test_a_cut_within_a_stretch_parts_it_and_the_words_say_where_to_cut() -> None:
    stretch = LayerRange(2, 6)
    for layers in (LayerRange(0, 4), LayerRange(4, 6), LayerRange(3, 3)):
        assert beside.parted((stretch,), layers) == stretch
    for layers in (LayerRange(0, 2), LayerRange(2, 6), LayerRange(0, 6), LayerRange(6, 6)):
        assert beside.parted((stretch,), layers) is None
    assert beside.words(stretch) == "layers 2:6 share keys and are not cut apart; cut at 2 or 6"


def test_tokens_go_no_further_than_the_last_layer_that_needs_them() -> None:
    assert beside.tokens_until("", SimpleNamespace(num_hidden_layers=6)) == 0
    assert beside.tokens_until("embedded", SimpleNamespace(num_hidden_layers=6)) == 6
    without = SimpleNamespace(num_hidden_layers=6, hidden_size_per_layer_input=0)
    assert beside.tokens_until("embedded", without) == 0
    hashed = SimpleNamespace(num_hidden_layers=6, mlp_layer_types=["hash_moe"] * 2 + ["moe"] * 4)
    assert beside.tokens_until("ids", hashed) == 2
    assert beside.tokens_until("ids", SimpleNamespace(num_hidden_layers=6, mlp_layer_types=["moe"] * 6)) == 0
