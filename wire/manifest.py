"""What a model is, to the byte: the canonical manifest whose digest is the model id.

Spec: `specs/weights.md` §Manifests.

A manifest names a checkpoint's small files and tensors by SHA-256, never by where they lie: two folders that shard the
same tensors differently are the same model. Tensors are digested in chunks, so that any part can be checked alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from wire import limits
from wire.cbor import canonical, loads
from wire.errors import BadMessage
from wire.tensors import WeightFormat
from wire.types import ModelId

VERSION: Final = 1
SMALL_FILES: Final = (
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
"""Files beside the weights that decide what a model answers. Any other file is not part of the model."""
_MAX_RANK: Final = 8
_MAX_TENSORS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A small file by its digest."""

    name: str
    size: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """A tensor by its type, shape and the digests of its chunks of `limits.CHUNK_BYTES`, the last one shorter."""

    name: str
    """As in the safetensors files."""
    dtype: str
    """As in the safetensors header: `BF16`, `F32`."""
    shape: tuple[int, ...]
    size: int
    chunks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """What a quantised model was made from. Who serves it serves that model, in fewer bits."""

    model: ModelId
    weights: WeightFormat
    """Never native."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All files and tensors of a model, each list sorted by name."""

    files: tuple[FileEntry, ...]
    tensors: tuple[TensorEntry, ...]
    base: Base | None = None

    def encode(self) -> bytes:
        """Return the canonical CBOR: the same bytes for the same model on every machine."""
        base = {} if self.base is None else {"base": [self.base.model.digest, self.base.weights.value]}
        return canonical(
            {
                **base,
                "v": VERSION,
                "files": [
                    [one.name, one.size, one.digest] for one in sorted(self.files, key=lambda f: f.name)
                ],
                "tensors": [
                    [one.name, one.dtype, list(one.shape), one.size, b"".join(one.chunks)]
                    for one in sorted(self.tensors, key=lambda t: t.name)
                ],
            }
        )

    @property
    def model_id(self) -> ModelId:
        """The SHA-256 of the canonical bytes."""
        return ModelId(hashlib.sha256(self.encode()).digest())

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read canonical bytes. Raises `BadMessage` for anything that is not exactly one manifest's encoding."""
        raw = loads(data, max_bytes=limits.MAX_MANIFEST_BYTES)
        if (
            type(raw) is not dict
            or {*raw, "base"} != {"v", "files", "tensors", "base"}
            or raw["v"] != VERSION
        ):
            raise BadMessage(f"not a manifest of version {VERSION}")
        manifest = cls(
            files=tuple(_file(one) for one in _list(raw["files"], len(SMALL_FILES))),
            tensors=tuple(_tensor(one) for one in _list(raw["tensors"], _MAX_TENSORS)),
            base=_base(raw["base"]) if "base" in raw else None,
        )
        for names in ([one.name for one in manifest.files], [one.name for one in manifest.tensors]):
            if sorted(set(names)) != names:
                raise BadMessage("a manifest names each file and tensor once, in order")
        if manifest.encode() != data:
            raise BadMessage("the manifest is not in canonical form")
        return manifest


def _list(raw: Any, most: int) -> list[Any]:
    if type(raw) is not list or len(raw) > most:
        raise BadMessage(f"expected an array of at most {most} entries")
    return raw


def _size(raw: Any) -> int:
    if type(raw) is not int or not 0 <= raw < 1 << 48:
        raise BadMessage("expected a size in bytes")
    return raw


def _name(raw: Any) -> str:
    if type(raw) is not str or not 0 < len(raw) <= 512 or not raw.isprintable():
        raise BadMessage("expected a name")
    return raw


def _base(raw: Any) -> Base:
    formats = {one.value: one for one in WeightFormat if one is not WeightFormat.NATIVE}
    if type(raw) is not list or len(raw) != 2 or type(raw[0]) is not bytes or type(raw[1]) is not str:
        raise BadMessage("expected [model id, weights] of what was quantised")
    if len(raw[0]) != limits.DIGEST_BYTES or raw[1] not in formats:
        raise BadMessage("expected [model id, weights] of what was quantised")
    return Base(ModelId(raw[0]), formats[raw[1]])


def _file(raw: Any) -> FileEntry:
    if type(raw) is not list or len(raw) != 3 or raw[0] not in SMALL_FILES:
        raise BadMessage("expected [name, size, digest] of a known small file")
    if type(raw[2]) is not bytes or len(raw[2]) != limits.DIGEST_BYTES:
        raise BadMessage("expected a digest")
    if _size(raw[1]) > limits.MAX_SMALL_FILE_BYTES:
        raise BadMessage(f"a small file has at most {limits.MAX_SMALL_FILE_BYTES} bytes")
    return FileEntry(name=raw[0], size=_size(raw[1]), digest=raw[2])


def _tensor(raw: Any) -> TensorEntry:
    if type(raw) is not list or len(raw) != 5:
        raise BadMessage("expected [name, dtype, shape, size, chunks]")
    name, dtype, shape, size, joined = raw
    size = _size(size)
    if type(dtype) is not str or not dtype.isalnum() or len(dtype) > 16:
        raise BadMessage("expected a dtype")
    num_chunks = -(-size // limits.CHUNK_BYTES)
    if type(joined) is not bytes or len(joined) != num_chunks * limits.DIGEST_BYTES:
        raise BadMessage(f"a tensor of {size} bytes has {num_chunks} chunk digests")
    width = limits.DIGEST_BYTES
    return TensorEntry(
        name=_name(name),
        dtype=dtype,
        shape=tuple(_size(one) for one in _list(shape, _MAX_RANK)),
        size=size,
        chunks=tuple(joined[at : at + width] for at in range(0, len(joined), width)),
    )
