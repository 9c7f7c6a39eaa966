"""Contacts survive a restart; a file that is damaged or of another network is as good as none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.dht.peer_cache import PeerCache
from wire import limits
from wire.types import Address

NODES = [Address("203.0.113.1", 7311), Address("2001:db8::1", 7311)]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    cache = PeerCache(tmp_path / "deep" / "peers", "main")
    assert cache.load() == []
    assert cache.save(NODES)
    assert cache.load() == NODES
    assert [one.name for one in (tmp_path / "deep").iterdir()] == ["peers"]


def test_another_networks_file_is_not_used(tmp_path: Path) -> None:
    PeerCache(tmp_path / "peers", "main").save(NODES)
    assert PeerCache(tmp_path / "peers", "other").load() == []


def test_no_more_is_kept_than_is_read_back(tmp_path: Path) -> None:
    cache = PeerCache(tmp_path / "peers", "main")
    cache.save([Address("203.0.113.1", port) for port in range(1, 2000)])
    assert len(cache.load()) == limits.MAX_PEER_CACHE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        json.dumps({"version": 2, "network": "main", "nodes": []}),
        json.dumps({"version": 1, "network": "main"}),
        json.dumps({"version": 1, "network": "main", "nodes": {"a": 1}}),
        json.dumps({"version": 1, "network": "main", "nodes": ["1.2.3.4:1"] * 1000}),
        json.dumps({"version": 1, "network": "main", "nodes": [1, None, "x", "host:1", ["1.2.3.4:1"]]}),
        "x" * 100_000,
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "peers").write_text(text, encoding="utf-8")
    assert PeerCache(tmp_path / "peers", "main").load() == []


def test_a_disk_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert not PeerCache(tmp_path / "file" / "peers", "main").save(NODES)
