"""`lamella-node models`: shows the store, checks it, repairs it, and makes room."""

from __future__ import annotations

import asyncio

from node import inventory, keyfile, paths
from node.asking import Asking
from node.inventory import size
from node.model_library import HUB_PREFIX, Library, LibraryTerms
from node.models_cli import ModelsConfig
from node.neighbours import Neighbours
from node.progress import Progress, stoppable
from node.roads import Roads, RoadTerms
from node.status import StatusLine
from node.store import views
from node.store.catalogue import chunks_of
from node.store.chunks import ChunkStore
from node.store.errors import StoreError
from node.store.peer_source import Asker
from node.stored_model import StoredModel
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.messages.base import Message
from wire.types import ModelId


async def run(config: ModelsConfig, status: StatusLine) -> bool:
    """Do what was asked for. Returns whether everything is whole now. Raises `NodeError`."""
    store = await asyncio.to_thread(ChunkStore, paths.weights_dir())
    whole = True
    if config.forget is not None:
        await asyncio.to_thread(_forget, store, config.forget, status)
    if config.check or config.repair:
        whole = await _check(store, config, status)
    if config.prune_bytes is not None:
        quota = config.prune_bytes
        removal = await asyncio.to_thread(lambda: store.prune(quota_bytes=quota))
        short = f"; {size(removal.short)} more are in use" if removal.short else ""
        status.say(
            "pruned",
            f"removed {len(removal.digests)} chunks, {size(removal.freed)}{short}",
            chunks=len(removal.digests),
            bytes=removal.freed,
            short=removal.short,
        )
    found = await asyncio.to_thread(inventory.take, store)
    if config.json:
        status.say("models", "", **found.as_json())
    else:
        status.print(inventory.table(found))
    return whole


def _forget(store: ChunkStore, model: ModelId, status: StatusLine) -> None:
    if model not in {one.model for one in store.catalogue.entries()}:
        raise StoreError(
            f"model {model} is not in {store.root}", "`lamella-node models` lists those that are"
        )
    store.catalogue.forget(model)
    views.remove(store, model)
    status.say("forgotten", f"forgot {model.short}", model=str(model))


async def _check(store: ChunkStore, config: ModelsConfig, status: StatusLine) -> bool:
    progress = Progress(status, "checking")
    wrong = await stoppable(store.check, progress)
    status.say("checked", f"{len(wrong)} chunks are damaged", damaged=[one.hex() for one in wrong])
    if not wrong or not config.repair:
        return not wrong
    # Not counted as here any more, so that nobody fetches them from this machine.
    for digest in wrong:
        await asyncio.to_thread(store.discard, digest)
    whole = await _mend(store, config, set(wrong), status)
    mended = sum(store.locate(digest) is not None for digest in wrong)
    status.say(
        "repaired",
        f"fetched {mended} of them anew"
        + ("" if whole else "; the others are fetched when a host needs them"),
        mended=mended,
        removed=len(wrong) - mended,
    )
    return whole


async def _mend(store: ChunkStore, config: ModelsConfig, wrong: set[bytes], status: StatusLine) -> bool:
    """Fetch chunks anew for each model that names them; returns whether all of those came."""
    identity = keyfile.load_or_create(paths.identity_file())
    roads = Roads(RoadTerms(network=config.network, named=config.peers), own=identity.peer_id)
    asking = Asking(roads)
    neighbours = Neighbours(asking, roads, me=identity.peer_id)

    def on_message(link: Link, message: Message) -> None:
        if not asking.on_message(link, message):
            roads.on_message(link, message)

    pool = LinkPool(
        identity, config.network, "lamella-node", on_message=on_message, on_closed=asking.on_closed
    )
    roads.connect(pool)
    await roads.open()
    terms = LibraryTerms(root=paths.weights_dir(), cache_dir=paths.cache_dir())
    asker = Asker(identity=identity, network=config.network)
    whole = True
    try:
        async with Library(terms, neighbours=neighbours.sharing, asker=asker) as library:
            for entry in store.catalogue.entries():
                manifest = store.catalogue.manifest(entry.model)
                # Without its manifest nobody knows which chunks are the model's; that is one of those that are wrong.
                lost = entry.model.digest in wrong
                if lost or (manifest is not None and any(one.digest in wrong for one in chunks_of(manifest))):
                    name = next((one for one in entry.names if one.startswith(HUB_PREFIX)), str(entry.model))
                    whole &= await _fetch_again(library, name, wrong, status)
    finally:
        await pool.close()
    return whole


async def _fetch_again(library: Library, name: str, digests: set[bytes], status: StatusLine) -> bool:
    try:
        model = await library.open(name, files=())
        if isinstance(model, StoredModel):
            await model.need_chunks(digests)
    except StoreError as error:
        status.say("not-repaired", f"{name}: {error}", model=name, message=str(error))
        return False
    return True
