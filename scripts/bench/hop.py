"""Measures what one more hop costs when its layers cost nothing: links, encryption, framing, thread hand-over.

    python -m scripts.bench.hop [--json]

Two host processes and this client over loopback. A step goes client -> A -> client, and client -> A -> B -> client; the
hosts' slices give back what they get. The difference of the two, taken pairwise in alternating rounds, is what a hop
adds: one encrypted link and one pass over the compute thread. The answers are one position, whatever was sent.

In the same rounds `bare_host.py` answers the same bytes with nothing but a loop, a socket, AES-256-GCM and a thread.
That exchange says how fast this machine is at this moment, and the figures are to be read against it.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter

from chat.chain import Chain, ChainSpec
from chat.route import Hop, Route
from crypto.identity import Identity
from node.transport.link import Link
from node.transport.pool import LinkPool
from scripts.bench import bare_host, options
from scripts.bench.bare_host import Bare
from scripts.bench.daemons import ready
from scripts.bench.identity_host import MODEL, NUM_LAYERS
from wire import limits
from wire.contacts import Contact
from wire.messages.base import Message
from wire.messages.forward import Phase
from wire.tensors import DType, TensorSpec
from wire.types import LayerRange, Sampling, SessionId

HIDDEN_SIZE = 1024
_SMALL = TensorSpec(DType.BFLOAT16, (1, 1, HIDDEN_SIZE))
_LARGE = TensorSpec(DType.BFLOAT16, (1, 1024, HIDDEN_SIZE))


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds added by one hop."""

    size_bytes: int
    steps: int
    added_p50_ms: float
    """Median with two hops less median with one."""
    added_p99_ms: float
    """99th percentile of two hops less the median of one."""
    one_hop_p50_ms: float
    two_hops_p50_ms: float
    bare_p50_ms: float
    """A bare exchange of as many bytes, there and back by way of a thread."""


class BareClient(Bare):
    """Asks a bare host and waits for its answer."""

    def __init__(self, size: int) -> None:
        super().__init__(min(size, bare_host.ANSWER_BYTES))
        self._parts = [
            bytes(min(bare_host.RECORD_BYTES, size - at)) for at in range(0, size, bare_host.RECORD_BYTES)
        ]
        self._answer: asyncio.Future[None] | None = None

    async def exchange(self) -> None:
        """Send all, and wait for what comes back."""
        self._answer = asyncio.get_running_loop().create_future()
        self.send(self._parts)
        await self._answer

    def arrived(self, parts: list[bytes]) -> None:
        """The answer is there."""
        if self._answer is not None:
            self._answer.set_result(None)


@contextmanager
def bare(size: int) -> Iterator[int]:
    """Run a bare host; yields its port."""
    command = [sys.executable, "-m", "scripts.bench.bare_host", str(size)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or not (line := process.stdout.readline()):
            raise RuntimeError("the bare host did not start")
        yield int(json.loads(line)["port"])
    finally:
        process.terminate()
        process.wait()


@contextmanager
def hosts(count: int) -> Iterator[tuple[Contact, ...]]:
    """Run identity hosts."""
    command = [sys.executable, "-m", "scripts.bench.identity_host", str(HIDDEN_SIZE)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        yield tuple(ready(process) for process in started)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


async def make_chain(pool: LinkPool, me: Identity, contacts: tuple[Contact, ...]) -> Chain:
    """Link to the contacts and make a chain over them, in order, ready to be opened."""
    hops = []
    for index, contact in enumerate(contacts):
        link = await pool.link_to(contact.peer, contact.address)
        layers = LayerRange(index, index + 1) if index + 1 < len(contacts) else LayerRange(index, NUM_LAYERS)
        hops.append(
            Hop(
                peer=link.peer_id,
                address=contact.address,
                layers=layers,
                dtype=DType.BFLOAT16,
                tail=False,
                link_s=0.0,
                stage_s=0.0,
            )
        )
    route = Route(model=MODEL, front=LayerRange(0, 0), hops=tuple(hops), private_ends=True)
    spec = ChainSpec(
        route=route, me=me.peer_id, hidden_size=HIDDEN_SIZE, positions=1 << 24, sampling=Sampling()
    )
    return Chain(
        spec, pool.links, tuple(SessionId(secrets.token_bytes(limits.SESSION_ID_BYTES)) for _ in hops)
    )


async def measure(
    contacts: tuple[Contact, ...], bare_port: int, tensor: TensorSpec, steps: int, rounds: int
) -> Figures:
    """Alternate short runs over one hop, over two, and over none of ours."""
    loop = asyncio.get_running_loop()
    _, floor = await loop.create_connection(lambda: BareClient(tensor.nbytes), "127.0.0.1", bare_port)
    me = Identity.from_seed(os.urandom(32))
    chains: dict[int, Chain] = {}

    def dispatch(link: Link, message: Message) -> None:
        for chain in chains.values():
            chain.on_message(link.peer_id, message)

    pool = LinkPool(
        me,
        "bench",
        "bench",
        on_message=dispatch,
        on_closed=lambda link, code, detail: None,
    )
    body = bytearray(tensor.nbytes)
    times: dict[int, list[float]] = {0: [], 1: [], 2: []}
    positions = {1: 0, 2: 0}
    phase = Phase.DECODE if tensor.shape[1] == 1 else Phase.PREFILL
    try:
        for hops in (1, 2):
            chains[hops] = await make_chain(pool, me, contacts[:hops])
            await chains[hops].open()
        for index in range(rounds + 1):
            for _ in range(steps // rounds):
                started = perf_counter()
                await floor.exchange()
                if index:
                    times[0].append((perf_counter() - started) * 1e3)
            for hops in (1, 2):
                for _ in range(steps // rounds):
                    started = perf_counter()
                    await chains[hops].send(
                        tensor, bytes(body), position=positions[hops], phase=phase, sample=True
                    )
                    await chains[hops].answer()
                    positions[hops] += tensor.shape[1]
                    # The first round warms both paths up and does not count.
                    if index:
                        times[hops].append((perf_counter() - started) * 1e3)
    finally:
        for chain in chains.values():
            chain.close()
        await pool.close()
    one, two = statistics.median(times[1]), statistics.median(times[2])
    return Figures(
        size_bytes=tensor.nbytes,
        steps=len(times[2]),
        added_p50_ms=two - one,
        added_p99_ms=sorted(times[2])[int(len(times[2]) * 0.99)] - one,
        one_hop_p50_ms=one,
        two_hops_p50_ms=two,
        bare_p50_ms=statistics.median(times[0]),
    )


def main() -> None:
    """Measure both sizes and print."""
    parser = options.parser(__doc__, rounds=10)
    parser.add_argument(
        "--steps", type=int, default=2000, help="steps of 2 KB per path; a tenth of them of 2 MB"
    )
    arguments = parser.parse_args()
    import uvloop

    figures = []
    with hosts(2) as contacts, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for tensor, steps in ((_SMALL, arguments.steps), (_LARGE, arguments.steps // 10)):
            with bare(tensor.nbytes) as port:
                figures += [runner.run(measure(contacts, port, tensor, steps, arguments.rounds))]
    if arguments.json:
        print(json.dumps([asdict(one) for one in figures]))
        return
    for one in figures:
        print(
            f"{one.size_bytes:>8} bytes: one more hop adds {one.added_p50_ms:.3f} ms p50, "
            f"{one.added_p99_ms:.3f} ms p99 (one hop {one.one_hop_p50_ms:.3f} ms, "
            f"two {one.two_hops_p50_ms:.3f} ms, {one.steps} steps); a bare exchange takes {one.bare_p50_ms:.3f} ms"
        )


if __name__ == "__main__":
    main()
