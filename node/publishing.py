"""`lamella-node publish`: reads a checkpoint once, keeps its manifest and nothing else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from node import paths
from node.inventory import size
from node.model_library import HUB_PREFIX
from node.models_cli import PublishConfig
from node.progress import Progress, stoppable
from node.status import StatusLine
from node.store import checkpoint
from node.store.catalogue import manifest_chunk
from node.store.chunks import ChunkStore
from node.store.errors import StoreError
from node.store.hub import HubRepo
from node.store.hub_manifest import manifest_of
from node.store.hub_name import HubName
from wire.manifest import Manifest


class CannotWriteManifest(StoreError):
    """The file for the manifest cannot be made."""


async def run(config: PublishConfig, status: StatusLine) -> None:
    """Describe a model. Raises `NodeError`."""
    if config.out is not None:
        # Before hours of reading.
        _check_free(config.out)
    progress = Progress(status, f"reading {config.model}")
    if config.model.startswith(HUB_PREFIX):
        name = HubName.parse(config.model)
        async with await HubRepo.open(name, cache_dir=paths.cache_dir() / "hub") as repo:
            full = f"{HUB_PREFIX}{name.repo}@{repo.commit}"
            manifest = await manifest_of(repo, progress=progress)
    else:
        folder = await asyncio.to_thread(checkpoint.resolve, config.model)
        full = str(folder)
        manifest = await stoppable(
            lambda tell: checkpoint.manifest_of(folder, cache_dir=paths.cache_dir(), progress=tell), progress
        )
    data = manifest.encode()
    await asyncio.to_thread(_keep, manifest, data, full)
    if config.out is not None:
        await asyncio.to_thread(_write, config.out, data)
    total = sum(one.size for one in manifest.tensors) + sum(one.size for one in manifest.files)
    base = None if manifest.base is None else str(manifest.base.model)
    of = "" if manifest.base is None else f", {manifest.base.weights.value} of {base}"
    if not config.json:
        status.print(str(manifest.model_id))
    status.say(
        "published",
        f"{full}: {len(manifest.tensors)} tensors, {size(total)}{of}",
        model=str(manifest.model_id),
        name=full,
        tensors=len(manifest.tensors),
        bytes=total,
        manifest_bytes=len(data),
        base=base,
    )


def _keep(manifest: Manifest, data: bytes, name: str) -> None:
    store = ChunkStore(paths.weights_dir())
    with store.lease() as lease:
        chunk = manifest_chunk(manifest.model_id, len(data))
        lease.pin([chunk])
        lease.put(chunk, data)
        store.catalogue.used(manifest.model_id, name)


def _check_free(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise CannotWriteManifest(f"{out} exists already", "name another file with --out")


def _write(out: Path, data: bytes) -> None:
    """Write a new file, whole or not at all. Raises `CannotWriteManifest`."""
    try:
        with out.open("xb") as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                out.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CannotWriteManifest(
            f"{out} cannot be written ({error.strerror})", "name another file with --out"
        ) from error
