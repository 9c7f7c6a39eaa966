"""The vectors of manifests: good ones with their ids, and bytes that are none. Called by `make_vectors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crypto.digest import sha256
from wire import limits
from wire.cbor import canonical, dumps
from wire.manifest import Base, FileEntry, Manifest, TensorEntry
from wire.tensors import WeightFormat


def manifest() -> object:
    """Return manifests with their canonical bytes and ids, then bytes that are not a manifest."""
    small = Manifest(
        files=(FileEntry(name="config.json", size=2, digest=sha256(b"{}")),),
        tensors=(
            _tensor("model.embed_tokens.weight", "BF16", (1_024, 2_049)),
            _tensor("model.norm.weight", "F32", ()),
        ),
    )
    good = small.encode()
    return {
        "comment": "All byte strings are hexadecimal; `chunks` are the digests, in order.",
        "manifests": [
            _manifest("empty", Manifest(files=(), tensors=())),
            _manifest("small", small),
            _manifest("quantised", replace(small, base=Base(small.model_id, WeightFormat.INT8))),
        ],
        "refused": [
            {"why": "another version", "manifest": canonical({"v": 2, "files": [], "tensors": []}).hex()},
            {
                "why": "keys in another order",
                "manifest": dumps({"tensors": [], "files": [], "v": 1}).hex(),
            },
            {
                "why": "an integer that is not in its shortest form",
                "manifest": good.replace(b"\x61v\x01", b"\x61v\x18\x01").hex(),
            },
            {"why": "a byte too many", "manifest": (good + b"\0").hex()},
            {
                "why": "tensors out of order",
                "manifest": _raw_manifest([["b", "F32", [1], 0, b""], ["a", "F32", [1], 0, b""]]),
            },
            {
                "why": "a tensor named twice",
                "manifest": _raw_manifest([["a", "F32", [1], 0, b""], ["a", "F32", [1], 0, b""]]),
            },
            {
                "why": "made from a model in its native form",
                "manifest": canonical(
                    {"v": 1, "files": [], "tensors": [], "base": [small.model_id.digest, "native"]}
                ).hex(),
            },
            {"why": "a chunk digest missing", "manifest": _raw_manifest([["a", "F32", [1], 4, b""]])},
        ],
    }


def _manifest(name: str, made: Manifest) -> object:
    return {
        "name": name,
        "files": [{"name": one.name, "size": one.size, "digest": one.digest.hex()} for one in made.files],
        "tensors": [
            {
                "name": one.name,
                "dtype": one.dtype,
                "shape": list(one.shape),
                "size": one.size,
                "chunks": [chunk.hex() for chunk in one.chunks],
            }
            for one in made.tensors
        ],
        **(
            {}
            if made.base is None
            else {"base": {"model": str(made.base.model), "weights": made.base.weights.value}}
        ),
        "manifest": made.encode().hex(),
        "digest": made.model_id.digest.hex(),
        "model_id": str(made.model_id),
    }


def _raw_manifest(tensors: list[Any]) -> str:
    return canonical({"v": 1, "files": [], "tensors": tensors}).hex()


def _tensor(name: str, dtype: str, shape: tuple[int, ...]) -> TensorEntry:
    size = {"BF16": 2, "F32": 4}[dtype]
    for one in shape:
        size *= one
    chunks = -(-size // limits.CHUNK_BYTES)
    return TensorEntry(
        name=name,
        dtype=dtype,
        shape=shape,
        size=size,
        chunks=tuple(
            sha256(b"lamella vector: ", f"{name} chunk {number}".encode()) for number in range(chunks)
        ),
    )


FILES: Mapping[str, Callable[[], object]] = {"manifest.json": manifest}
