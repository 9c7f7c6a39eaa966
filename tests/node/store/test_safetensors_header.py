from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from node.store.errors import BadCheckpoint
from node.store.safetensors_header import (
    LENGTH_BYTES,
    MAX_HEADER_BYTES,
    TensorPlace,
    header_bytes,
    parse_header,
    read_header,
)
from tests.fakes.checkpoints import entry, write_raw


def refused(path: Path, words: str) -> None:
    """The file is refused in one sentence of printable words that names it and what to do."""
    with pytest.raises(BadCheckpoint, match=words) as caught:
        read_header(path)
    assert str(path) in caught.value.cause
    assert caught.value.next_step
    assert str(caught.value).isprintable()


def test_tensors_are_told_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    header = json.dumps({"b": entry("F32", [1, 2], 2, 10), "a": entry("BF16", [1], 0, 2)}).encode()
    path = write_raw(tmp_path / "x.safetensors", header, bytes(10))
    base = 8 + len(header)
    assert read_header(path) == (
        TensorPlace(name="a", dtype="BF16", shape=(1,), start=base, size=2),
        TensorPlace(name="b", dtype="F32", shape=(1, 2), start=base + 2, size=8),
    )


def test_a_file_of_the_safetensors_library_is_read_as_that_library_wrote_it(tmp_path: Path) -> None:
    tensors = {
        "wide": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "scalar": torch.tensor(7, dtype=torch.int64),
        "empty": torch.empty(0, 4, dtype=torch.float16),
    }
    path = tmp_path / "x.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    data = path.read_bytes()
    places = {place.name: place for place in read_header(path)}
    assert places.keys() == tensors.keys()
    for name, tensor in tensors.items():
        place = places[name]
        assert place.shape == tuple(tensor.shape)
        held = bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
        assert data[place.start : place.start + place.size] == held


def test_a_header_is_read_without_its_file(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "x", json.dumps({"a": entry("U8", [3], 0, 3)}).encode(), b"123")
    data = path.read_bytes()
    length = header_bytes("afar", data[:LENGTH_BYTES], len(data))
    text = data[LENGTH_BYTES : LENGTH_BYTES + length]
    assert parse_header("afar", text, len(data)) == read_header(path)
    with pytest.raises(BadCheckpoint, match="afar has 12 bytes where"):
        parse_header("afar", text, 12)


def test_no_tensors_and_no_bytes_are_a_file(tmp_path: Path) -> None:
    assert read_header(write_raw(tmp_path / "x.safetensors", b"{}")) == ()


@pytest.mark.parametrize("size", range(8))
def test_a_file_that_ends_in_its_length_is_too_short(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(bytes(size))
    refused(path, "too short")


@pytest.mark.parametrize("length", [0, 1, 3, MAX_HEADER_BYTES + 1, (1 << 63), (1 << 64) - 1])
def test_a_header_longer_than_the_file_or_the_limit_is_not_read(tmp_path: Path, length: int) -> None:
    refused(write_raw(tmp_path / "x.safetensors", b"{}", length=length), f"header of {length} bytes")


def test_a_header_past_the_limit_is_refused_even_when_the_file_has_it(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "x.safetensors", b"{}", length=MAX_HEADER_BYTES + 1)
    os.truncate(path, MAX_HEADER_BYTES + 100)  # sparse: takes no room
    refused(path, f"header of {MAX_HEADER_BYTES + 1} bytes")


@pytest.mark.parametrize(
    "header",
    [
        b"{ ",
        b"\xff\xfe{}",
        b"[" * 100_000,
        '{"a": 1}'.encode("utf-16"),
        b'{"a": {"dtype": "U8", "shape": [1' + b"0" * 5000 + b'], "data_offsets": [0, 1]}}',
        b'{"a": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}, "a": {"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        b'{"a": {"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}',
    ],
)
def test_a_header_that_is_not_json_or_says_something_twice_is_refused(tmp_path: Path, header: bytes) -> None:
    refused(write_raw(tmp_path / "x.safetensors", header), "not JSON")


@pytest.mark.parametrize("header", [b"[]", b'"a"', b"null", b"17"])
def test_a_header_that_is_not_a_map_is_refused(tmp_path: Path, header: bytes) -> None:
    refused(write_raw(tmp_path / "x.safetensors", header), "not a map")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"dtype": "U8"},
        {"dtype": "U7", "shape": [1], "data_offsets": [0, 1]},
        {"dtype": ["U8"], "shape": [1], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": 1, "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": {}, "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": "", "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [1] * 9, "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [0, 1 << 60], "data_offsets": [0, 0]},
        {"dtype": "U8", "shape": [1], "data_offsets": [0]},
        {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]},
        {"dtype": "U8", "shape": [1], "data_offsets": ["0", "1"]},
        {"dtype": "U8", "shape": [1], "data_offsets": [False, True]},
        {"dtype": "U8", "shape": [1], "data_offsets": [-1, 0]},
    ],
)
def test_a_tensor_described_wrongly_is_refused(tmp_path: Path, wrong: Any) -> None:
    header = json.dumps({"a": wrong}).encode()
    refused(write_raw(tmp_path / "x.safetensors", header, b"x"), "'a' of .* described wrongly")


@pytest.mark.parametrize(
    ("shape", "start", "end"), [([2], 0, 1), ([1], 0, 2), ([0], 0, 1), ([1], 1, 0), ([1 << 40] * 8, 0, 1)]
)
def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_refused(
    tmp_path: Path, shape: list[int], start: int, end: int
) -> None:
    header = json.dumps({"a": entry("U8", shape, start, end)}).encode()
    refused(write_raw(tmp_path / "x.safetensors", header, b"xy"), "bytes its shape needs")


@pytest.mark.parametrize("name", ["", "a\x1b[2J", "a\n", "\ud800", "n" * 513])
def test_a_name_that_no_manifest_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    header = json.dumps({name: entry("U8", [1], 0, 1)}).encode()
    refused(write_raw(tmp_path / "x.safetensors", header, b"x"), "without a usable name")


@pytest.mark.parametrize(
    "spans", [[(0, 2), (1, 3)], [(0, 2), (0, 2)], [(1, 3)], [(0, 1), (2, 3)], [(0, 3), (1, 2)]]
)
def test_overlaps_and_gaps_are_refused(tmp_path: Path, spans: list[tuple[int, int]]) -> None:
    header = {f"t{index}": entry("U8", [end - start], start, end) for index, (start, end) in enumerate(spans)}
    refused(write_raw(tmp_path / "x.safetensors", json.dumps(header).encode(), bytes(3)), "overlaps .* gap")


@pytest.mark.parametrize("change", [-1, 1, 1 << 30])
def test_a_file_cut_short_or_grown_is_refused(tmp_path: Path, change: int) -> None:
    header = json.dumps({"a": entry("U8", [4], 0, 4)}).encode()
    path = write_raw(tmp_path / "x.safetensors", header, bytes(4))
    os.truncate(path, path.stat().st_size + change)
    refused(path, "its header describes")


def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    refused(pipe, "not a regular file")
    (tmp_path / "folder.safetensors").mkdir()
    refused(tmp_path / "folder.safetensors", "not a regular file")


def test_a_file_that_cannot_be_read_is_named_with_the_systems_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(tmp_path / "missing.safetensors", "No such file or directory")
    (tmp_path / "loop.safetensors").symlink_to(tmp_path / "loop.safetensors")
    refused(tmp_path / "loop.safetensors", "Too many levels of symbolic links")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write_raw(tmp_path / "x.safetensors", b"{}")
    monkeypatch.setattr(Path, "open", deny)
    refused(path, "Permission denied")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_bytes_are_read_or_refused(tmp_path: Path, header: bytes, length: int) -> None:
    path = write_raw(tmp_path / "x.safetensors", header, length=length)
    try:
        places = read_header(path)
    except BadCheckpoint:
        return
    assert sum(place.size for place in places) + 8 + length == path.stat().st_size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.data())
def test_a_sound_header_with_one_byte_changed_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    header = bytearray(json.dumps({"a": entry("U8", [2], 0, 2), "b": entry("U8", [1, 1], 2, 3)}).encode())
    at = data.draw(st.integers(0, len(header) - 1))
    header[at] = data.draw(st.integers(0, 255))
    path = write_raw(tmp_path / "x.safetensors", bytes(header), bytes(3))
    try:
        places = read_header(path)
    except BadCheckpoint:
        return
    at_byte = 8 + len(header)
    for place in places:
        assert place.start == at_byte
        at_byte += place.size
    assert at_byte == path.stat().st_size
