"""A checkpoint folder: finding it by name, and knowing which model it is.

The model id is computed from every byte of the weights once and remembered beside a fingerprint of the files, so a
second start costs nothing. Spec: `specs/forward.md` §Model ids.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node.store.errors import BadCheckpoint, UnknownModel
from node.store.safetensors_header import TensorPlace, read_header
from wire import limits
from wire.manifest import SMALL_FILES, FileEntry, Manifest, TensorEntry
from wire.types import ModelId

POCKET: Final = "pocket"
"""The name of the model that ships with the package."""
_POCKET_FOLDER: Final = Path(__file__).parent.parent / "pocket"
_INDEX: Final = "model.safetensors.index.json"
_MAX_SMALL_FILE_BYTES: Final = 64 * 1024 * 1024
_PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def resolve(name: str) -> Path:
    """Return the folder of a model: `pocket`, or a path. Raises `UnknownModel`."""
    if name == POCKET:
        return _POCKET_FOLDER
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise UnknownModel(
            f"there is no model {name!r} here", f"give `{POCKET}` or the folder of a checkpoint"
        )
    if not (folder / "config.json").is_file():
        raise UnknownModel(
            f"{folder} holds no config.json, so it is not a checkpoint", "give the folder that has one"
        )
    return folder.resolve()


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of a checkpoint, in order. Raises `BadCheckpoint`, also for pickled weights."""
    index = folder / _INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadCheckpoint(f"{index} cannot be read as an index", "fetch it again") from error
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
                raise BadCheckpoint(
                    f"{index} names {name!r}, which is not a file beside it", "fetch the checkpoint again"
                )
        return tuple(folder / name for name in names)
    files = tuple(sorted(folder.glob("*.safetensors")))
    if files:
        return files
    if any(True for pattern in _PICKLES for _ in folder.glob(pattern)):
        raise BadCheckpoint(
            f"{folder} holds pickled weights only, which can run code when opened",
            "convert them to safetensors first",
        )
    raise BadCheckpoint(f"{folder} holds no .safetensors file", "fetch the checkpoint again")


def build_manifest(folder: Path, *, progress: Callable[[float], None] | None = None) -> Manifest:
    """Read every byte of a checkpoint and return its manifest. Raises `BadCheckpoint`.

    Args:
        progress: called with the fraction done, from 0 to 1.
    """
    shards = [(path, read_header(path)) for path in weight_files(folder)]
    total = sum(place.size for _, places in shards for place in places) or 1
    done = 0
    tensors: dict[str, TensorEntry] = {}
    for path, places in shards:
        try:
            with path.open("rb") as file:
                for place in places:
                    if place.name in tensors:
                        raise BadCheckpoint(
                            f"tensor {place.name} is in two files of {folder}", "fetch the checkpoint again"
                        )
                    tensors[place.name] = _digest_tensor(file.fileno(), path, place)
                    done += place.size
                    if progress is not None:
                        progress(done / total)
        except OSError as error:
            raise BadCheckpoint(
                f"{path} cannot be read ({error.strerror})", "check the file and its permissions"
            ) from error
    return Manifest(
        files=tuple(entry for name in SMALL_FILES if (entry := _small_file(folder / name)) is not None),
        tensors=tuple(tensors[name] for name in sorted(tensors)),
    )


def model_id(folder: Path, *, cache_dir: Path, progress: Callable[[float], None] | None = None) -> ModelId:
    """Return the id of the model in a folder, from the cache when no file has changed since. Raises `BadCheckpoint`."""
    fingerprint = _fingerprint(folder)
    cached = cache_dir / "model-ids" / fingerprint
    try:
        return ModelId.parse(cached.read_text("ascii").strip())
    except (OSError, ValueError):
        found = build_manifest(folder, progress=progress).model_id
    if _fingerprint(folder) != fingerprint:
        raise BadCheckpoint(
            f"the files of {folder} changed while they were read", "try again once they are complete"
        )
    _remember(cached, str(found))
    return found


def _fingerprint(folder: Path) -> str:
    """A digest over path, size and times of every file of the model; changes whenever one of them is written."""
    digest = hashlib.sha256()
    for path in (*weight_files(folder), *(folder / name for name in SMALL_FILES), folder / _INDEX):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BadCheckpoint(
                f"{path} cannot be read ({error.strerror})", "check the file and its permissions"
            ) from error
        facts = (
            str(path.resolve()),
            stat.st_dev,
            stat.st_ino,
            stat.st_size,
            stat.st_mtime_ns,
            stat.st_ctime_ns,
        )
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def _remember(path: Path, text: str) -> None:
    """Write a cache entry atomically. A cache that cannot be written (full disk, read-only) only costs time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
    except OSError:
        return


def _digest_tensor(handle: int, path: Path, place: TensorPlace) -> TensorEntry:
    chunks = []
    for at in range(0, place.size, limits.CHUNK_BYTES):
        length = min(limits.CHUNK_BYTES, place.size - at)
        data = os.pread(handle, length, place.start + at)
        if len(data) != length:
            raise BadCheckpoint(f"{path} ended inside tensor {place.name}", "fetch the file again")
        chunks.append(hashlib.sha256(data).digest())
    return TensorEntry(
        name=place.name, dtype=place.dtype, shape=place.shape, size=place.size, chunks=tuple(chunks)
    )


def _small_file(path: Path) -> FileEntry | None:
    try:
        if path.stat().st_size > _MAX_SMALL_FILE_BYTES:
            raise BadCheckpoint(
                f"{path} is larger than {_MAX_SMALL_FILE_BYTES} bytes", "fetch the checkpoint again"
            )
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadCheckpoint(
            f"{path} cannot be read ({error.strerror})", "check the file and its permissions"
        ) from error
    return FileEntry(name=path.name, size=len(data), digest=hashlib.sha256(data).digest())
