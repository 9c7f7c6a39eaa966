"""`lamella-node quantise`: a checkpoint to a folder of fewer bits, and what that cost. Joins the store and the slices.

Everything happens in a folder beside the one asked for, measuring too; it gets its name when all of it is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from node import paths, quantised, sample_text
from node.progress import Progress, duration
from node.quantise_cli import QuantiseConfig
from node.quantised import Measured, Note
from node.sample_text import NoText
from node.slices import quality, quantisable, recode
from node.slices.facts import read_facts
from node.slices.quality import Reader
from node.slices.quantisable import Recipe
from node.slices.recode import Part
from node.status import StatusLine
from node.store import checkpoint, shards
from node.store.shards import NewFolder, Shard
from wire.tensors import WeightFormat

_MEMORY_SHARE: Final = 0.6
"""Of the free memory that weights may take while measuring."""
_ROOM_BESIDE: Final = 1 << 20
"""Bytes for the index and the note."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written where."""

    recipes: dict[str, Recipe]
    """By name, in the order of the files."""
    parts: dict[str, tuple[Part, ...]]
    shards: tuple[Shard, ...]

    @property
    def nbytes(self) -> int:
        """Of all shards together."""
        return sum(one.nbytes for one in self.shards)


def run(config: QuantiseConfig, status: StatusLine, *, shard_bytes: int = shards.SHARD_BYTES) -> None:
    """Do it. Raises `NodeError` or `SliceError` when it cannot be done; then nothing is left behind."""
    began = time.monotonic()
    folder = checkpoint.resolve(config.model)
    out = config.out.absolute()
    shards.check_free(out)
    status.say(
        "quantising",
        f"quantising {config.model} to {config.weights.value} in {out}",
        model=config.model,
        weights=config.weights.value,
        out=str(out),
    )
    plan = _plan(folder, config.weights, shard_bytes)
    with NewFolder(out) as new:
        small = checkpoint.small_files(folder)
        new.check_room(plan.nbytes + sum(map(len, small.values())) + _ROOM_BESIDE)
        model = checkpoint.model_id(
            folder, cache_dir=paths.cache_dir(), progress=Progress(status, "reading the checkpoint")
        )
        _write(plan, new, Progress(status, "quantising"))
        for name, data in small.items():
            new.write(name, data)
        note = Note(model=model, weights=config.weights)
        new.write(quantised.FILE, quantised.encode(note))
        took = time.monotonic() - began
        measured, why_not = None, "measuring was left out"
        if config.measure:
            measured, why_not = _measure(config, folder, new.folder, status)
        if measured is not None:
            note = Note(model=model, weights=config.weights, measured=measured)
            new.replace(quantised.FILE, quantised.encode(note))
        new.finish()
    before = sum(path.stat().st_size for path in checkpoint.weight_files(folder))
    status.say(
        "quantised",
        f"{before / 1e6:.1f} MB to {plan.nbytes / 1e6:.1f} MB in {duration(took)}: {out}\n"
        f"{config.weights.value}: {measured if measured is not None else why_not}",
        out=str(out),
        model=str(model),
        weights=config.weights.value,
        bytes_before=before,
        bytes_after=plan.nbytes,
        seconds=round(took, 3),
        measured=asdict(measured) if measured is not None else None,
        not_measured=why_not if measured is None else None,
    )


def _plan(folder: Path, weights: WeightFormat, shard_bytes: int) -> Plan:
    found = {one.name: one for one in quantisable.recipes(folder, weights)}
    recipes = {name: found[name] for name in sorted(found, key=shards.natural)}
    parts = {name: recode.parts(one) for name, one in recipes.items()}
    return Plan(recipes, parts, shards.plan(parts.values(), shard_bytes))


def _write(plan: Plan, new: NewFolder, progress: Callable[[float], None]) -> None:
    """Write all shards and their index."""
    done = 0
    for shard in plan.shards:
        with new.open_shard(shard) as writer:
            for name, recipe in plan.recipes.items():
                parts = plan.parts[name]
                if parts[0].name not in shard.offsets:
                    continue
                for piece in recode.encoded(recipe):
                    writer.write(parts[piece.part].name, piece.offset, piece.data)
                    done += len(piece.data)
                    progress(done / plan.nbytes)
    new.write_index(plan.shards)


def _measure(
    config: QuantiseConfig, folder: Path, made: Path, status: StatusLine
) -> tuple[Measured | None, str]:
    """What the format cost on a text, or None and why that is not known."""
    facts = read_facts(folder)
    shipped = sample_text.CHATS if config.model == checkpoint.POCKET else sample_text.PROSE
    try:
        windows = sample_text.windows(folder, config.text or shipped, config.tokens)
    except NoText as error:
        if config.text is not None:
            raise
        return None, f"not measured, since {error.cause}"
    size = sum(path.stat().st_size for path in checkpoint.weight_files(folder))
    count = quality.stages(facts.num_layers, size, int(available_bytes() * _MEMORY_SHARE))
    if count is None:
        return None, "not measured, since a single layer of the model does not fit the free memory"
    found = []
    for weights, where in ((WeightFormat.NATIVE, folder), (config.weights, made)):
        reader = Reader(folder=where, num_layers=facts.num_layers, weights=weights, stages=count)
        progress = Progress(status, f"measuring {weights.value}")
        found.append(quality.logits(reader, windows, progress=progress)[0])
    native, got = found
    following = [token for window in windows for token in window[1:]]
    return Measured(
        tokens=len(following),
        relative_error=quality.relative_error(got, native),
        top1_agreement=quality.top1_agreement(got, native),
        perplexity=quality.perplexity(got, following),
        native_perplexity=quality.perplexity(native, following),
    ), ""


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Memory that may be used without pushing others out; all of the machine's where the system does not say."""
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
