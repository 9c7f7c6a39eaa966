"""What the store holds, for a person and for a script: each model, how much of it is here, and whether it is in use."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from node.store.catalogue import chunks_of
from node.store.chunks import ChunkStore
from node.store.errors import unusable
from node.store.quota import on_disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One model of the store."""

    model: str
    """Its id, or that of its quantised form."""
    base: str | None
    """The model it was quantised from."""
    weights: str
    names: tuple[str, ...]
    described: bool
    """Whether its manifest is here; without it nothing else is known of it."""
    bytes_here: int
    bytes_in_all: int
    bytes_in_use: int
    """Of those here, what a running process needs."""
    layers: str
    """Which are here whole, as `6:12`; empty when none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The whole store."""

    folder: str
    bytes_on_disk: int
    """All chunks, in blocks of the file system."""
    bytes_in_use: int
    bytes_free: int
    """On the disk."""
    bytes_unknown: int
    """Chunks of no model that is known; the first to go."""
    models: tuple[Holding, ...]

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return asdict(self)


def take(store: ChunkStore) -> Inventory:
    """Look at everything that is in a store. Raises `StoreUnusable`."""
    sizes, in_use = store.sizes(), store.in_use()
    known: set[bytes] = set()
    holdings = []
    for entry in store.catalogue.entries():
        manifest = store.catalogue.manifest(entry.model)
        chunks = {} if manifest is None else {one.digest: one for one in chunks_of(manifest)}
        here = [one for one in chunks.values() if sizes.get(one.digest) == one.size]
        known.update(chunks)
        known.add(entry.model.digest)
        base = None if manifest is None else manifest.base
        tensors = [] if manifest is None else manifest.tensors
        have = {one.digest for one in here}
        whole = {one.name for one in tensors if have.issuperset(one.chunks)}
        holdings.append(
            Holding(
                model=str(entry.model),
                base=None if base is None else str(base.model),
                weights="native" if base is None else base.weights.value,
                names=entry.names,
                described=manifest is not None,
                bytes_here=sum(one.size for one in here),
                bytes_in_all=sum(one.size for one in chunks.values()),
                bytes_in_use=sum(one.size for one in here if one.digest in in_use),
                layers=_ranges(_layers([one.name for one in tensors], whole)),
            )
        )
    try:
        free = shutil.disk_usage(store.root).free
    except OSError as error:
        raise unusable(store.root, error) from error
    return Inventory(
        folder=str(store.root),
        bytes_on_disk=sum(map(on_disk, sizes.values())),
        bytes_in_use=sum(size for digest, size in sizes.items() if digest in in_use),
        bytes_free=free,
        bytes_unknown=sum(size for digest, size in sizes.items() if digest not in known),
        models=tuple(holdings),
    )


def table(inventory: Inventory) -> str:
    """The inventory in lines of at most 100 columns, names apart."""
    lines = [
        f"{inventory.folder}: {size(inventory.bytes_on_disk)}, {size(inventory.bytes_in_use)} in use, "
        f"{size(inventory.bytes_free)} free on the disk"
    ]
    for one in inventory.models:
        part = f"{size(one.bytes_here)} of {size(one.bytes_in_all)}" if one.described else "manifest missing"
        layers = f", layers {one.layers}" if one.layers else ""
        used = f", {size(one.bytes_in_use)} in use" if one.bytes_in_use else ""
        form = f" {one.weights}" if one.base else ""
        lines.append(f"{one.model[-8:]}{form}  {part}{layers}{used}")
        lines += [f"          {name}" for name in one.names]
        lines.append(f"          {one.model}")
    if not inventory.models:
        lines.append("no model was fetched or published yet")
    if inventory.bytes_unknown:
        lines.append(
            f"{size(inventory.bytes_unknown)} belong to no model that is known; --prune 0 removes them"
        )
    return "\n".join(lines)


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"


def _layers(names: Sequence[str], whole: set[str]) -> list[int]:
    """The layers whose tensors are all here, by the number that the names of a layer's tensors have in common."""
    found: dict[int, bool] = {}
    for name in names:
        number = next((part for part in name.split(".") if part.isdecimal()), None)
        if number is not None and len(number) < 6:
            layer = int(number)
            found[layer] = found.get(layer, True) and name in whole
    return sorted(layer for layer, complete in found.items() if complete)


def _ranges(layers: Sequence[int]) -> str:
    """Numbers in order as ranges: `0:4, 6:8`."""
    ranges: list[list[int]] = []
    for layer in layers:
        if ranges and ranges[-1][1] == layer:
            ranges[-1][1] = layer + 1
        else:
            ranges.append([layer, layer + 1])
    return ", ".join(f"{start}:{end}" for start, end in ranges)
