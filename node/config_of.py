"""The config of a model by its name, and nothing else of it: enough to plan with."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from node import paths, quantised
from node.small_file import replace_file
from node.store import checkpoint, views
from node.store.chunks import ChunkStore
from node.store.errors import StoreError, UnknownModel, unusable
from node.store.hub import HubRepo
from node.store.hub_name import PREFIX, HubName
from wire import limits
from wire.errors import InvalidValue
from wire.types import ModelId

CONFIG = "config.json"


async def config_folder(name: str) -> Path:
    """Return a folder with a model's `config.json`, and `lamella.json` where it is quantised.

    Args:
        name: `pocket`, a folder, `hf:org/name[@revision]`, or the id of a model in the store.

    Raises:
        StoreError: the model is not known, or its hub does not give it.
    """
    if name.startswith(PREFIX):
        return await _of_hub(HubName.parse(name))
    try:
        return await asyncio.to_thread(_of_store, ModelId.parse(name))
    except InvalidValue:
        return await asyncio.to_thread(checkpoint.resolve, name)


def _of_store(model: ModelId) -> Path:
    store = ChunkStore(paths.weights_dir())
    manifest = store.catalogue.manifest(model)
    folder = None if manifest is None else views.view(store, model, manifest)
    if folder is None or not (folder / CONFIG).exists():
        raise UnknownModel(
            f"the config of model {model} is not in the store", "serve or ask it once, or name its folder"
        )
    return folder


async def _of_hub(name: HubName) -> Path:
    async with await HubRepo.open(name, cache_dir=paths.cache_dir() / "hub") as repo:
        found = {
            file: await repo.whole(file, limits.MAX_SMALL_FILE_BYTES)
            for file in (CONFIG, quantised.FILE)
            if file in repo.files
        }
    if CONFIG not in found:
        raise StoreError(f"{name} has no {CONFIG}, so it is not a checkpoint", "name one that has")
    key = hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()
    return await asyncio.to_thread(_written, paths.cache_dir() / "configs" / key, found)


def _written(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder that is called by what they hold."""
    try:
        for name, data in files.items():
            replace_file(folder / name, data)
    except OSError as error:
        raise unusable(folder, error) from error
    return folder
