"""Announcements on a local network: read what is written, refuse all else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import PeerId
from wire.errors import BadMessage
from wire.lan import LanText
from wire.networks import network_tag

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "discovery.json").read_text(encoding="utf-8")
)
GOOD = LanText(peer=PeerId(bytes(32)), network=network_tag("main")).encode()


@pytest.mark.parametrize("vector", VECTORS["lan"], ids=lambda one: one["network"])
def test_announcements_equal_the_vectors(vector: dict[str, Any]) -> None:
    text = LanText(peer=PeerId.parse(vector["peer_id"]), network=network_tag(vector["network"]))
    assert [b"=".join(one).decode() for one in text.encode().items()] == vector["text"]
    assert LanText.decode(text.encode()) == text


def test_what_a_later_version_adds_is_ignored() -> None:
    assert LanText.decode({**GOOD, b"more": b"x", b"flag": None}) == LanText.decode(GOOD)


@pytest.mark.parametrize("key", sorted(GOOD))
@pytest.mark.parametrize(
    "value", [None, b"", b"2", b"\xff", b"a" * 52 + b"=", b"A" * 26, b"A" * 52, b"x" * 300]
)
def test_a_fact_that_is_not_as_it_should_be_is_refused(key: bytes, value: bytes | None) -> None:
    with pytest.raises(BadMessage):
        LanText.decode({**GOOD, key: value})


def test_too_many_facts_are_refused() -> None:
    with pytest.raises(BadMessage, match="at most"):
        LanText.decode({**GOOD, b"x": b"y" * 200})


@given(st.dictionaries(st.sampled_from([b"v", b"n", b"id", b"x"]), st.none() | st.binary(max_size=60)))
def test_any_facts_are_an_announcement_or_a_bad_message(values: dict[bytes, bytes | None]) -> None:
    with pytest.raises(BadMessage):
        LanText.decode(values)
