"""Chunks overlap between machines, are large on one, and never make a message too large."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chat.prefill import MAX_CHUNK_BYTES, PIPELINED_TOKENS, chunk_tokens
from chat.route import Hop, Route
from tests.fakes.swarm import CLIENT, MODEL
from wire import limits
from wire.tensors import DType
from wire.types import Address, LayerRange


def route(*ips: str, dtype: DType = DType.BFLOAT16) -> Route:
    hops = tuple(
        Hop(
            peer=CLIENT,
            address=Address(ip, 1),
            layers=LayerRange(index, index + 1),
            dtype=dtype,
            tail=False,
            link_s=0.0,
            stage_s=0.0,
        )
        for index, ip in enumerate(ips)
    )
    return Route(model=MODEL, front=LayerRange(0, 0), hops=hops, private_ends=False)


def test_hosts_on_other_machines_get_chunks_that_overlap() -> None:
    assert chunk_tokens(route("192.0.2.1", "192.0.2.2"), 896) == PIPELINED_TOKENS
    assert chunk_tokens(route("127.0.0.1", "192.0.2.2"), 896) == PIPELINED_TOKENS


def test_hosts_on_this_machine_get_whole_messages() -> None:
    assert chunk_tokens(route("127.0.0.1", "::1"), 896) == MAX_CHUNK_BYTES // (896 * 2)


@pytest.mark.parametrize("hidden_size", [1, 64, 896, 8192, 65_536])
@pytest.mark.parametrize("dtype", list(DType))
def test_a_chunk_is_never_larger_than_a_message_should_be(hidden_size: int, dtype: DType) -> None:
    for ip in ("127.0.0.1", "192.0.2.1"):
        tokens = chunk_tokens(route(ip, dtype=dtype), hidden_size)
        assert tokens >= 1
        assert tokens == 1 or tokens * hidden_size * dtype.size <= MAX_CHUNK_BYTES


def test_chunks_whose_ids_travel_fit_a_header() -> None:
    here = route("127.0.0.1")
    told = replace(here, hops=(replace(here.hops[0], sees_tokens=True),))
    assert chunk_tokens(told, 64) == limits.MAX_STEP_TOKENS
