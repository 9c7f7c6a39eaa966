"""Measures what checking every byte costs: making a manifest, and loading a slice from the store.

    python -m scripts.bench.weights [--model NAME] [--layers 6:10] [--rounds 5] [--json]

In each round: SHA-256 alone over the checkpoint's files on one core, and its manifest; a slice loaded from the
checkpoint, and the same slice from a store that holds its chunks. All warm, in one process, in turns. Ratios are of
medians: a manifest's speed over SHA-256's, a load's time from the store over that from the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from node.slices import threads
from scripts.bench import machine, options, shapes
from wire.types import LayerRange

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over all rounds; a megabyte is a million bytes."""

    processor: str
    cores: int
    megabytes: float
    slice_megabytes: float
    sha256_mb_per_s: float
    manifest_mb_per_s: float
    manifest_ratio: float
    plain_load_s: float
    store_load_s: float
    load_ratio: float


def measure(model: str, layers: LayerRange, rounds: int) -> Figures:
    """Measure one checkpoint; on the thread that computes."""
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec
    from node.store import checkpoint

    folder = checkpoint.resolve(shapes.folder(model))
    files = checkpoint.weight_files(folder)
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    times: dict[str, list[float]] = {"sha": [], "manifest": [], "plain": [], "store": []}
    with tempfile.TemporaryDirectory() as root:
        view = stored(Path(root), folder)
        plain, kept = (SliceSpec(checkpoint=one, layers=layers) for one in (folder, view))
        size = load_slice(plain).weight_bytes / 1e6
        for _ in range(rounds):
            times["sha"].append(timed(lambda: digest(files)))
            times["manifest"].append(timed(lambda: checkpoint.build_manifest(folder)))
            times["plain"].append(timed(lambda: load_slice(plain)))
            times["store"].append(timed(lambda: load_slice(kept)))
    median = {name: statistics.median(all_of) for name, all_of in times.items()}
    return Figures(
        processor=machine.processor(),
        cores=threads.usable_cores(),
        megabytes=megabytes,
        slice_megabytes=size,
        sha256_mb_per_s=megabytes / median["sha"],
        manifest_mb_per_s=megabytes / median["manifest"],
        manifest_ratio=median["sha"] / median["manifest"],
        plain_load_s=median["plain"],
        store_load_s=median["store"],
        load_ratio=median["store"] / median["plain"],
    )


def stored(root: Path, folder: Path) -> Path:
    """Put all of a checkpoint into a store at `root`, and return its view."""
    from node.store import views
    from node.store.catalogue import chunks_of, manifest_chunk
    from node.store.chunks import ChunkStore
    from node.store.folder_shelf import FolderShelf

    store = ChunkStore(root)
    shelf = FolderShelf.of(folder)
    data = shelf.known.encode()
    own = manifest_chunk(shelf.known.model_id, len(data))
    with store.lease() as lease:
        lease.pin([own, *chunks_of(shelf.known)])
        lease.put(own, data)
        for chunk in chunks_of(shelf.known):
            place = shelf.locate(chunk.digest)
            if place is not None:
                with place.path.open("rb") as file:
                    file.seek(place.offset)
                    lease.put(chunk, file.read(place.size))
    return views.view(store, shelf.known.model_id, shelf.known)


def digest(files: tuple[Path, ...]) -> None:
    """SHA-256 of files, on one core."""
    for path in files:
        sums = hashlib.sha256()
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                sums.update(data)


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = perf_counter()
    work()
    return perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = options.parser(__doc__, rounds=5, computes=True)
    parser.add_argument("--layers", type=LayerRange.parse, default=LayerRange(6, 10), help="of the slice")
    words = parser.parse_args()
    threads.prepare(words.threads)
    import torch  # noqa: F401 - threads are set before it is imported, and applied after

    threads.apply()
    found = measure(words.model, words.layers, words.rounds)
    if words.json:
        print(json.dumps(asdict(found)))
        return
    print(f"{found.processor}, {found.cores} cores, {words.rounds} rounds")
    print(
        f"manifest of {found.megabytes:.0f} MB: {found.manifest_mb_per_s:.0f} MB/s, SHA-256 on one core "
        f"{found.sha256_mb_per_s:.0f} MB/s: {found.manifest_ratio:.2f}x"
    )
    print(
        f"slice of {found.slice_megabytes:.0f} MB: {found.store_load_s:.2f} s from the store, "
        f"{found.plain_load_s:.2f} s from the checkpoint: {found.load_ratio:.2f}x"
    )


if __name__ == "__main__":
    main()
