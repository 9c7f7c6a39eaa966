from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.errors import BadCheckpoint
from node.store.shard_index import is_plain, is_shard, parse_index


def index(weight_map: Any) -> bytes:
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}).encode()


def test_each_tensor_has_its_file() -> None:
    weight_map = {"b": "two.safetensors", "a": "one.safetensors", "c": "two.safetensors"}
    assert parse_index("the index", index(weight_map)) == weight_map


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        index([]),
        index("a"),
        index({"a": {}}),
        index({"a": 1, "b": "c"}),
    ],
)
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(BadCheckpoint, match="the index cannot be read as an index"):
        parse_index("the index", data)


def test_an_index_of_nothing_is_refused() -> None:
    with pytest.raises(BadCheckpoint, match="names no file"):
        parse_index("the index", index({}))


@pytest.mark.parametrize(
    "name",
    [
        "../a.safetensors",
        "/a.safetensors",
        "b/a.safetensors",
        "a.bin",
        "",
        ".",
        "..",
        "a\n.safetensors",
        "\ud800.safetensors",
        7,
        None,
    ],
)
def test_names_that_lead_elsewhere_or_are_no_safetensors_are_refused(name: object) -> None:
    with pytest.raises(BadCheckpoint, match=r"not a safetensors file beside it|cannot be read"):
        parse_index("the index", index({"a": name}))


@given(st.text())
def test_a_plain_name_stays_in_its_folder(name: str) -> None:
    assert not is_plain(name) or ("/" not in name and name not in {"", ".", ".."} and "\0" not in name)
    assert not is_shard(name) or is_plain(name)


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        files = parse_index("the index", data)
    except BadCheckpoint:
        return
    assert all(map(is_shard, files.values()))
