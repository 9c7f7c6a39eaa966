"""A forward gets the arguments it takes, under the names it has for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from node.slices.calling import Calling
from node.slices.errors import UnsupportedModel


def model(forward: Any) -> Any:
    config = SimpleNamespace(model_type="odd", hidden_size=4)
    config.get_text_config = lambda: config
    return SimpleNamespace(forward=forward, config=config)


def test_a_decoder_that_takes_positions_gets_them_and_one_that_does_not_gets_none() -> None:
    def usual(input_ids: Any, position_ids: Any, past_key_values: Any, logits_to_keep: int = 0) -> None: ...
    def recurrent(input_ids: Any, cache_params: Any) -> None: ...

    x, cache = torch.tensor([[5, 6]]), object()
    calling = Calling(model(usual), model(usual))
    arguments = calling.arguments(x, torch.tensor([[7, 8]]), cache)
    assert arguments["input_ids"] is x
    assert arguments["position_ids"].tolist() == [[7, 8]]
    assert arguments["past_key_values"] is cache
    assert calling.last_only == {"logits_to_keep": 1}
    calling = Calling(model(recurrent), model(recurrent))
    assert calling.arguments(x, torch.tensor([[7]]), cache) == {
        "input_ids": x,
        "cache_params": cache,
        "use_cache": True,
    }
    assert calling.last_only == {}


def test_hidden_states_are_not_shown_to_what_comes_before_the_layers() -> None:
    def usual(inputs_embeds: Any, past_key_values: Any) -> None: ...

    x = torch.ones(1, 2, 4)
    shown = Calling(model(usual), model(usual)).arguments(x, torch.tensor([[0]]), None)["inputs_embeds"]
    assert shown.shape == x.shape
    assert not shown.any()


def test_layers_that_need_tokens_are_run_from_them_and_those_that_may_are_never_run_from_zeros() -> None:
    def usual(inputs_embeds: Any, past_key_values: Any, logits_to_keep: int = 0) -> None: ...

    x, ids, at = torch.ones(1, 2, 12), torch.tensor([[5, 6]]), torch.tensor([[0]])
    for tokens in ("ids", "embedded"):
        calling = Calling(model(usual), model(usual), tokens=tokens)
        assert calling.arguments(x, at, None, ids)["input_ids"] is ids
    assert calling.arguments(x, at, None)["input_ids"].tolist() == [[0, 0]]
    without = Calling(model(usual), model(usual), tokens="ids").arguments(x, at, None)
    assert without["inputs_embeds"].shape == (1, 2, 4)


def test_a_model_whose_layers_share_keys_is_asked_for_logits_by_their_place() -> None:
    def usual(inputs_embeds: Any, past_key_values: Any, logits_to_keep: int = 0) -> None: ...

    calling = Calling(model(usual), model(usual), shares_keys=True)
    assert calling.last_only["logits_to_keep"].tolist() == [-1]


def test_a_decoder_without_a_cache_of_its_session_is_refused() -> None:
    def stateless(input_ids: Any, state: Any) -> None: ...

    with pytest.raises(UnsupportedModel, match="odd"):
        Calling(model(stateless), model(stateless))


def test_what_is_made_for_the_model_is_made_where_the_model_is() -> None:
    def usual(inputs_embeds: Any, past_key_values: Any, logits_to_keep: int = 0) -> None: ...

    meta = torch.device("meta")
    calling = Calling(model(usual), model(usual), tokens="embedded", shares_keys=True, device=meta)
    assert calling.last_only["logits_to_keep"].is_meta
    given = calling.arguments(torch.ones(1, 2, 12, device=meta), torch.zeros(1, 2, device=meta), None)
    assert given["input_ids"].is_meta
