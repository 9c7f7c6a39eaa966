"""A manifest is the same bytes everywhere, and nothing but such bytes is read as one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import limits
from wire.cbor import canonical
from wire.errors import BadMessage
from wire.manifest import SMALL_FILES, Base, FileEntry, Manifest, TensorEntry
from wire.tensors import WeightFormat
from wire.types import ModelId

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "manifest.json").read_text(encoding="utf-8")
)
DIGEST = st.binary(min_size=32, max_size=32)
NAMES = st.text(st.characters(categories=["L", "N"], include_characters="._"), min_size=1, max_size=30)


@st.composite
def tensors(draw: st.DrawFn) -> TensorEntry:
    size = draw(st.integers(0, 3 * limits.CHUNK_BYTES))
    chunks = -(-size // limits.CHUNK_BYTES)
    return TensorEntry(
        name=draw(NAMES),
        dtype=draw(st.sampled_from(["BF16", "F32", "U8"])),
        shape=tuple(draw(st.lists(st.integers(0, 1 << 40), max_size=8))),
        size=size,
        chunks=tuple(draw(st.lists(DIGEST, min_size=chunks, max_size=chunks))),
    )


MANIFESTS = st.builds(
    Manifest,
    files=st.lists(
        st.builds(
            FileEntry,
            name=st.sampled_from(SMALL_FILES),
            size=st.integers(0, limits.MAX_SMALL_FILE_BYTES),
            digest=DIGEST,
        ),
        max_size=4,
        unique_by=lambda one: one.name,
    ).map(tuple),
    tensors=st.lists(tensors(), max_size=5, unique_by=lambda one: one.name).map(tuple),
    base=st.none()
    | st.builds(
        Base,
        model=st.builds(ModelId, DIGEST),
        weights=st.sampled_from([one for one in WeightFormat if one is not WeightFormat.NATIVE]),
    ),
)


def sort(manifest: Manifest) -> Manifest:
    return Manifest(
        files=tuple(sorted(manifest.files, key=lambda one: one.name)),
        tensors=tuple(sorted(manifest.tensors, key=lambda one: one.name)),
        base=manifest.base,
    )


@settings(max_examples=50)
@given(MANIFESTS)
def test_a_manifest_survives_a_round_trip_in_order_of_names(manifest: Manifest) -> None:
    assert Manifest.decode(manifest.encode()) == sort(manifest)


@settings(max_examples=50)
@given(MANIFESTS, st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(manifest: Manifest, random: Any) -> None:
    files, entries = list(manifest.files), list(manifest.tensors)
    random.shuffle(files)
    random.shuffle(entries)
    again = Manifest(files=tuple(files), tensors=tuple(entries), base=manifest.base)
    assert again.model_id == manifest.model_id


@settings(max_examples=50)
@given(MANIFESTS, st.data())
def test_a_changed_byte_is_refused_or_another_model(manifest: Manifest, data: st.DataObject) -> None:
    encoded = bytearray(manifest.encode())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = Manifest.decode(bytes(encoded))
    except BadMessage:
        return
    assert other.model_id != manifest.model_id


@given(st.binary(max_size=200))
def test_any_bytes_give_a_manifest_or_bad_message(data: bytes) -> None:
    try:
        Manifest.decode(data)
    except BadMessage:
        return


def test_the_id_is_the_digest_of_the_bytes() -> None:
    manifest = Manifest(files=(), tensors=())
    assert manifest.model_id == ModelId(hashlib.sha256(manifest.encode()).digest())


def raw(**changed: Any) -> bytes:
    """A manifest of one file and one tensor, with something changed."""
    file = changed.pop("file", ["config.json", 2, bytes(32)])
    tensor = changed.pop("tensor", ["a", "F32", [1], 4, bytes(32)])
    return canonical({"v": 1, "files": [file], "tensors": [tensor], **changed})


def test_the_plain_example_is_a_manifest() -> None:
    assert Manifest.decode(raw()).tensors[0].shape == (1,)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        canonical([]),
        canonical({}),
        raw(v=2),
        raw(v="1"),
        raw(more=1),
        raw(files={}),
        raw(tensors=[1]),
        raw(files=[["config.json", 2, bytes(32)]] * 2),
        raw(tensors=[["b", "F32", [], 0, b""], ["a", "F32", [], 0, b""]]),
        raw(file=["readme.md", 2, bytes(32)]),
        raw(file=["../config.json", 2, bytes(32)]),
        raw(file=[["config.json"], 2, bytes(32)]),
        raw(file=["config.json", -1, bytes(32)]),
        raw(file=["config.json", 1 << 48, bytes(32)]),
        raw(file=["config.json", True, bytes(32)]),
        raw(file=["config.json", 2, bytes(31)]),
        raw(file=["config.json", 2, "0" * 32]),
        raw(file=["config.json", 2]),
        raw(tensor=["", "F32", [1], 4, bytes(32)]),
        raw(tensor=["a\nb", "F32", [1], 4, bytes(32)]),
        raw(tensor=["a" * 513, "F32", [1], 4, bytes(32)]),
        raw(tensor=[b"a", "F32", [1], 4, bytes(32)]),
        raw(tensor=["a", "", [1], 4, bytes(32)]),
        raw(tensor=["a", "F 32", [1], 4, bytes(32)]),
        raw(tensor=["a", "F" * 17, [1], 4, bytes(32)]),
        raw(tensor=["a", "F32", 1, 4, bytes(32)]),
        raw(tensor=["a", "F32", [-1], 4, bytes(32)]),
        raw(tensor=["a", "F32", [1] * 9, 4, bytes(32)]),
        raw(tensor=["a", "F32", [1], -4, bytes(32)]),
        raw(tensor=["a", "F32", [1], 0, bytes(32)]),
        raw(tensor=["a", "F32", [1], 4, b""]),
        raw(tensor=["a", "F32", [1], 4, bytes(64)]),
        raw(tensor=["a", "F32", [1], limits.CHUNK_BYTES + 1, bytes(32)]),
        raw(tensor=["a", "F32", [1], 4, [bytes(32)]]),
        raw(tensor=["a", "F32", [1], 4]),
        raw(file=["config.json", limits.MAX_SMALL_FILE_BYTES + 1, bytes(32)]),
        raw(base=[]),
        raw(base=None),
        raw(base=[bytes(32)]),
        raw(base=[bytes(31), "int8"]),
        raw(base=["0" * 32, "int8"]),
        raw(base=[bytes(32), "native"]),
        raw(base=[bytes(32), "int3"]),
        raw(base=[bytes(32), ["int8"]]),
        raw(base=[bytes(32), "int8", 1]),
    ],
)
def test_what_is_not_exactly_a_manifest_is_refused(bad: bytes) -> None:
    with pytest.raises(BadMessage):
        Manifest.decode(bad)


def test_a_true_is_not_version_one() -> None:
    with pytest.raises(BadMessage):
        Manifest.decode(raw().replace(b"\x61v\x01", b"\x61v\xf5"))


def test_a_manifest_past_the_bound_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MANIFEST_BYTES", len(raw()) - 1)
    with pytest.raises(BadMessage, match="at most"):
        Manifest.decode(raw())


@pytest.mark.parametrize("vector", VECTORS["manifests"], ids=lambda one: one["name"])
def test_manifests_equal_their_vectors(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["manifest"])
    manifest = Manifest.decode(data)
    assert manifest.encode() == data
    assert str(manifest.model_id) == vector["model_id"]
    assert manifest.model_id.digest.hex() == vector["digest"]
    assert manifest == Manifest(
        files=tuple(replace_digest(FileEntry(**one)) for one in vector["files"]),
        tensors=tuple(
            TensorEntry(
                name=one["name"],
                dtype=one["dtype"],
                shape=tuple(one["shape"]),
                size=one["size"],
                chunks=tuple(bytes.fromhex(chunk) for chunk in one["chunks"]),
            )
            for one in vector["tensors"]
        ),
        base=None if (base := vector.get("base")) is None else read_base(base),
    )


def read_base(base: dict[str, str]) -> Base:
    return Base(ModelId.parse(base["model"]), WeightFormat(base["weights"]))


def test_a_quantised_form_has_an_id_of_its_own() -> None:
    plain = Manifest.decode(raw())
    forms = [
        replace(plain, base=Base(plain.model_id, one)) for one in (WeightFormat.INT8, WeightFormat.INT4_32)
    ]
    assert len({plain.model_id, *(one.model_id for one in forms)}) == 3


def replace_digest(entry: FileEntry) -> FileEntry:
    """The entry with its digest as bytes, as vectors write it in hexadecimal."""
    return replace(entry, digest=bytes.fromhex(str(entry.digest)))


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda one: one["why"])
def test_refused_vectors_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(BadMessage):
        Manifest.decode(bytes.fromhex(vector["manifest"]))
