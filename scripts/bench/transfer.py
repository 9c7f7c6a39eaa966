"""Measures fetching chunks from several hosts over loopback: every byte checked by SHA-256 and written to disk.

    python -m scripts.bench.transfer [--megabytes 512] [--rounds 3] [--json]

Hosts are processes of their own. In each round the same bytes come from two hosts, from three, from three of which one
lies, and from three of which one stops answering; and SHA-256 alone is measured, on one core, since nothing here can
be faster than the cores that compute it. A ratio is the time with a bad host over the time with three honest ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from crypto.identity import PeerId
from node.store.errors import WrongBytes
from node.store.fetch import FetchReport, fetch
from node.store.peer_source import PeerSource, client_session
from node.store.source import Chunk
from scripts.bench import machine, options
from scripts.bench.transfer_host import HONEST, LYING, STALLING
from wire.limits import CHUNK_BYTES
from wire.manifest import Manifest, TensorEntry
from wire.types import Address

CASES = {
    "two": (HONEST, HONEST),
    "three": (HONEST, HONEST, HONEST),
    LYING: (HONEST, HONEST, LYING),
    STALLING: (HONEST, HONEST, STALLING),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over all rounds; a megabyte is a million bytes."""

    processor: str
    cores: int
    megabytes: float
    rounds: int
    sha256_mb_per_s: float
    """One core, nothing else."""
    two_sources_mb_per_s: float
    three_sources_mb_per_s: float
    lying_ratio: float
    stalling_ratio: float
    wrong_chunks: int
    """Chunks on disk that are not what they should be; must be 0."""
    dropped: tuple[str, ...]
    """Why hosts were not asked any more."""
    duplicate_megabytes: float
    """That came twice in the worst fetch."""


def make_data(folder: Path, megabytes: int) -> Manifest:
    """Write random bytes, and the manifest that names their chunks."""
    count = max(1, megabytes * 1_000_000 // CHUNK_BYTES)
    digests = []
    with (folder / "data").open("wb") as file:
        for number in range(count):
            data = random.Random(number).randbytes(CHUNK_BYTES)
            digests.append(hashlib.sha256(data).digest())
            file.write(data)
    size = count * CHUNK_BYTES
    entry = TensorEntry(name="data", dtype="U8", shape=(size,), size=size, chunks=tuple(digests))
    manifest = Manifest(files=(), tensors=(entry,))
    (folder / "manifest").write_bytes(manifest.encode())
    return manifest


@contextmanager
def hosts(folder: Path, behaviours: Sequence[str]) -> Iterator[list[tuple[Address, PeerId]]]:
    """Run one process for each behaviour."""
    started: list[subprocess.Popen[str]] = []
    try:
        for one in behaviours:
            command = [sys.executable, "-m", "scripts.bench.transfer_host", str(folder), one]
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        yield [_where(process) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _where(process: subprocess.Popen[str]) -> tuple[Address, PeerId]:
    if process.stdout is None:
        raise RuntimeError("the host has no standard output")
    words = process.stdout.readline().split()
    if len(words) != 2:
        raise RuntimeError("a host ended before it was ready; its error is above")
    return Address.parse(words[0]), PeerId.parse(words[1])


class Folder:
    """Keeps chunks as a store does: checked, written beside their place, renamed into it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, chunk: Chunk, data: bytes) -> None:
        """Check and write a chunk. Raises `WrongBytes`."""
        if hashlib.sha256(data).digest() != chunk.digest:
            raise WrongBytes(chunk.name)
        handle, temporary = tempfile.mkstemp(dir=self.path)
        with os.fdopen(handle, "wb", buffering=0) as file:
            file.write(data)
        Path(temporary).rename(self.path / chunk.digest.hex())

    def wrong(self, chunks: Sequence[Chunk]) -> int:
        """How many chunks are missing or not what they should be."""
        return sum(
            hashlib.sha256((self.path / one.digest.hex()).read_bytes()).digest() != one.digest
            for one in chunks
        )


async def transfer(folder: Path, manifest: Manifest, places: Sequence[tuple[Address, PeerId]]) -> FetchReport:
    """Fetch everything into a folder, from the manifest on."""
    tensor = manifest.tensors[0]
    chunks = [
        Chunk(digest=digest, size=CHUNK_BYTES, name=tensor.name, offset=number * CHUNK_BYTES)
        for number, digest in enumerate(tensor.chunks)
    ]
    async with client_session() as session:
        sources = [PeerSource(session, *place) for place in places]
        for source in sources:
            await source.learn(await source.manifest(manifest.model_id))
        return await fetch(chunks, sources, keep=Folder(folder).keep)


def measure(megabytes: int, rounds: int) -> Figures:
    """Measure all cases, in turns."""
    import uvloop

    times: dict[str, list[float]] = {name: [] for name in ("sha256", *CASES)}
    reasons: dict[str, None] = {}
    wrong = duplicate = 0
    with tempfile.TemporaryDirectory(prefix="lamella-bench-") as scratch:
        manifest = make_data(Path(scratch), megabytes)
        size = manifest.tensors[0].size
        for _ in range(rounds):
            times["sha256"].append(_sha256_s(Path(scratch) / "data"))
            for name, behaviours in CASES.items():
                target = Path(scratch) / name
                target.mkdir()
                with (
                    hosts(Path(scratch), behaviours) as places,
                    asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
                ):
                    report = runner.run(transfer(target, manifest, places))
                times[name].append(report.seconds)
                reasons.update({one.dropped: None for one in report.sources if one.dropped})
                duplicate = max(duplicate, report.duplicate_bytes)
                wrong += Folder(target).wrong(
                    [Chunk(digest=one, size=CHUNK_BYTES, name="data") for one in manifest.tensors[0].chunks]
                )
                shutil.rmtree(target)
                print(f"{name}: {size / report.seconds / 1e6:.0f} MB/s, {report}", file=sys.stderr)
    speed = {name: size / statistics.median(seconds) / 1e6 for name, seconds in times.items()}
    return Figures(
        processor=machine.processor(),
        cores=os.cpu_count() or 1,
        megabytes=size / 1e6,
        rounds=rounds,
        sha256_mb_per_s=speed["sha256"],
        two_sources_mb_per_s=speed["two"],
        three_sources_mb_per_s=speed["three"],
        lying_ratio=speed["three"] / speed[LYING],
        stalling_ratio=speed["three"] / speed[STALLING],
        wrong_chunks=wrong,
        dropped=tuple(reasons),
        duplicate_megabytes=duplicate / 1e6,
    )


def _sha256_s(path: Path) -> float:
    with path.open("rb") as file:
        pieces = list(iter(lambda: file.read(CHUNK_BYTES), b""))
    started = perf_counter()
    for piece in pieces:
        hashlib.sha256(piece).digest()
    return perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = options.parser(__doc__, rounds=3)
    parser.add_argument("--megabytes", type=int, default=512, help="what is fetched each time")
    arguments = parser.parse_args()
    figures = measure(arguments.megabytes, arguments.rounds)
    if arguments.json:
        print(json.dumps(asdict(figures)))
        return
    print(f"{figures.megabytes:.0f} MB, {figures.rounds} rounds, {figures.processor}, {figures.cores} cores")
    print(f"SHA-256 alone, one core  {figures.sha256_mb_per_s:6.0f} MB/s")
    print(f"two sources              {figures.two_sources_mb_per_s:6.0f} MB/s")
    print(f"three sources            {figures.three_sources_mb_per_s:6.0f} MB/s")
    print(f"one of three lies        {figures.lying_ratio:6.2f} of the time with three honest ones")
    print(f"one of three stalls      {figures.stalling_ratio:6.2f}")
    print(
        f"wrong chunks on disk     {figures.wrong_chunks:6d}; at most {figures.duplicate_megabytes:.0f} MB "
        f"came twice; dropped: {', '.join(figures.dropped) or 'none'}"
    )


if __name__ == "__main__":
    main()
