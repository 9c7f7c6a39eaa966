"""A checkpoint folder: finding it by name, and knowing which model it is.

The model id is computed from every byte of the weights once and remembered beside a fingerprint of the files, so a
second start costs nothing. Spec: `specs/weights.md` §Manifests.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from node import quantised
from node.small_file import remember
from node.store.errors import BadCheckpoint, UnknownModel
from node.store.safetensors_header import TensorPlace, read_header
from node.store.shard_index import INDEX, MAX_INDEX_BYTES, parse_index
from wire import limits
from wire.errors import WireError
from wire.manifest import SMALL_FILES, Base, FileEntry, Manifest, TensorEntry
from wire.types import ModelId

POCKET: Final = "pocket"
"""The name of the model that ships with the package."""
_POCKET_FOLDER: Final = Path(__file__).parent.parent / "pocket"
SINGLE: Final = "model.safetensors"
_MAX_FILE_NAME_BYTES: Final = 255
_READERS: Final = max(2, min(8, os.cpu_count() or 1))
LICENCES: Final = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")
PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def resolve(name: str) -> Path:
    """Return the folder of a model: `pocket`, or a path. Raises `UnknownModel`."""
    if name == POCKET:
        return _POCKET_FOLDER
    try:
        folder = Path(name).expanduser()
        found = bool(name) and folder.is_dir()
        complete = found and (folder / "config.json").is_file()
    except (OSError, RuntimeError) as error:
        # RuntimeError: the home of a user that does not exist.
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UnknownModel(
            f"{name!r} cannot be looked at ({reason})", f"give `{POCKET}` or the folder of a checkpoint"
        ) from error
    if not found:
        raise UnknownModel(
            f"there is no model {name!r} here", f"give `{POCKET}` or the folder of a checkpoint"
        )
    if not complete:
        raise UnknownModel(
            f"{folder} holds no config.json, so it is not a checkpoint", "give the folder that has one"
        )
    return folder.resolve()


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files of a checkpoint, in order: those of its index, or `model.safetensors`.

    Any other file is not part of the model, as it is not for the loader.

    Raises:
        BadCheckpoint: there are none, the index is damaged or names something else, or the weights are pickled.
    """
    try:
        if (folder / INDEX).is_file():
            return _indexed(folder)
        single = folder / SINGLE
        if single.exists():
            return (single,)
        pickled = any(True for pattern in PICKLES for _ in folder.glob(pattern))
    except OSError as error:
        raise _unreadable(Path(error.filename or folder), error) from error
    if pickled:
        raise BadCheckpoint(
            f"{folder} holds pickled weights only, which can run code when opened",
            "convert them to safetensors first",
        )
    raise BadCheckpoint(f"{folder} holds neither {SINGLE} nor {INDEX}", "fetch the checkpoint again")


def _indexed(folder: Path) -> tuple[Path, ...]:
    """The files that the index names, each a safetensors file beside it."""
    index = folder / INDEX
    names = sorted(set(parse_index(index, _bytes_of(index, MAX_INDEX_BYTES)).values()))
    for name in names:
        if len(os.fsencode(name)) > _MAX_FILE_NAME_BYTES or not (folder / name).is_file():
            raise BadCheckpoint(f"{index} names {name!r}, which is not here", "fetch the checkpoint again")
    return tuple(folder / name for name in names)


def build_manifest(folder: Path, *, progress: Callable[[float], None] | None = None) -> Manifest:
    """Read every byte of a checkpoint and return its manifest. Raises `BadCheckpoint`.

    Args:
        progress: called with the fraction done, from 0 to 1.
    """
    shards = [(path, read_header(path)) for path in weight_files(folder)]
    total = sum(place.size for _, places in shards for place in places) or 1
    done = 0
    tensors: dict[str, TensorEntry] = {}
    # A digest takes longer than the read, and both let other threads run.
    with ThreadPoolExecutor(_READERS, "digest") as readers:
        for path, places in shards:
            try:
                with path.open("rb") as file:
                    for place in places:
                        if place.name in tensors:
                            raise BadCheckpoint(
                                f"tensor {place.name} is in two files of {folder}",
                                "fetch the checkpoint again",
                            )
                        tensors[place.name] = _digest_tensor(readers, file.fileno(), path, place)
                        done += place.size
                        if progress is not None:
                            progress(done / total)
            except OSError as error:
                raise _unreadable(path, error) from error
    note = quantised.read(folder)
    return Manifest(
        files=tuple(entry for name in SMALL_FILES if (entry := _small_file(folder / name)) is not None),
        tensors=tuple(tensors[name] for name in sorted(tensors)),
        base=None if note is None else Base(note.model, note.weights),
    )


def model_id(folder: Path, *, cache_dir: Path, progress: Callable[[float], None] | None = None) -> ModelId:
    """Return the id of the model in a folder, from the cache when no file has changed since.

    A quantised folder says which model it was made from; its weights are that model's, in fewer bits.

    Raises:
        BadCheckpoint: the files are damaged or incomplete.
        BadNote: the folder's word on its model cannot be read.
    """
    note = quantised.read(folder)
    if note is not None:
        return note.model
    cached = cache_dir / "model-ids" / _fingerprint(folder)
    try:
        return ModelId.parse(cached.read_text("ascii").strip())
    except (OSError, ValueError):
        found = manifest_of(folder, cache_dir=cache_dir, progress=progress).model_id
        remember(cached, str(found).encode())
        return found


def manifest_of(
    folder: Path, *, cache_dir: Path, progress: Callable[[float], None] | None = None
) -> Manifest:
    """Return the manifest of the files in a folder, from the cache when none has changed since.

    Raises:
        BadCheckpoint: the files are damaged or incomplete.
        BadNote: the folder's word on its model cannot be read.
    """
    fingerprint = _fingerprint(folder)
    cached = cache_dir / "manifests" / fingerprint
    try:
        with cached.open("rb") as file:
            digest, data = file.read(limits.DIGEST_BYTES), file.read(limits.MAX_MANIFEST_BYTES + 1)
        if hashlib.sha256(data).digest() == digest:
            return Manifest.decode(data)
        found = build_manifest(folder, progress=progress)
    except (OSError, WireError):
        found = build_manifest(folder, progress=progress)
    if _fingerprint(folder) != fingerprint:
        raise BadCheckpoint(
            f"the files of {folder} changed while they were read", "try again once they are complete"
        )
    remember(cached, found.model_id.digest + found.encode())
    return found


def small_files(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint beside its weights, and the licences it came with. Raises `BadCheckpoint`."""
    found: dict[str, bytes] = {}
    try:
        licences = sorted(
            path.name for path in folder.iterdir() if path.name.startswith(LICENCES) and path.is_file()
        )
        for name in (*SMALL_FILES, *licences):
            try:
                found[name] = _bytes_of(folder / name, limits.MAX_SMALL_FILE_BYTES)
            except FileNotFoundError:
                continue
    except OSError as error:
        raise _unreadable(Path(error.filename or folder), error) from error
    return found


def _fingerprint(folder: Path) -> str:
    """A digest over path, size and times of every file of the model; changes whenever one of them is written."""
    digest = hashlib.sha256()
    for path in (*weight_files(folder), *(folder / name for name in SMALL_FILES), folder / INDEX):
        try:
            seen = path.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        facts = (
            str(path.resolve()),
            seen.st_dev,
            seen.st_ino,
            seen.st_size,
            seen.st_mtime_ns,
            seen.st_ctime_ns,
        )
        digest.update(repr(facts).encode())
    return digest.hexdigest()


def _digest_tensor(readers: Executor, handle: int, path: Path, place: TensorPlace) -> TensorEntry:
    def digest(at: int) -> bytes:
        length = min(limits.CHUNK_BYTES, place.size - at)
        data = os.pread(handle, length, place.start + at)
        if len(data) != length:
            raise BadCheckpoint(f"{path} ended inside tensor {place.name}", "fetch the file again")
        return hashlib.sha256(data).digest()

    starts = range(0, place.size, limits.CHUNK_BYTES)
    # One chunk is not worth handing over.
    chunks = tuple(map(digest, starts) if len(starts) < 2 else readers.map(digest, starts))
    return TensorEntry(name=place.name, dtype=place.dtype, shape=place.shape, size=place.size, chunks=chunks)


def _small_file(path: Path) -> FileEntry | None:
    try:
        data = _bytes_of(path, limits.MAX_SMALL_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return FileEntry(name=path.name, size=len(data), digest=hashlib.sha256(data).digest())


def _bytes_of(path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes. Raises `BadCheckpoint` for a longer one or no regular one, `OSError`."""
    # Before opening: to open a pipe waits for its writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadCheckpoint(f"{path} is not a regular file", "fetch the checkpoint again")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise BadCheckpoint(f"{path} is larger than {most} bytes", "fetch the checkpoint again")
    return data


def _unreadable(path: Path, error: OSError) -> BadCheckpoint:
    return BadCheckpoint(f"{path} cannot be read ({error.strerror})", "check the file and its permissions")
