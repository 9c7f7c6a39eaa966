"""A process that uses a store as it is told, a line of JSON each: what two hosts on one machine do to each other.

Run: `python -m tests.fakes.store_worker ROOT QUOTA`. Each answer is one line too.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from node.store.chunks import ChunkStore, Lease
from node.store.errors import CorruptChunk, QuotaExceeded
from node.store.source import Chunk


def contents(number: int) -> bytes:
    """The bytes of chunk `number`; its length follows from it too."""
    return hashlib.sha256(b"%d" % number).digest() * (1 + number * 37 % 400)


def chunk(number: int) -> Chunk:
    """What is known of chunk `number`."""
    data = contents(number)
    return Chunk(digest=hashlib.sha256(data).digest(), size=len(data), name=f"chunk {number}")


def act(store: ChunkStore, leases: dict[int, Lease], order: list[Any]) -> object:
    """Do one thing and return what came of it."""
    what, lease, numbers = order
    if what == "pin":
        if lease not in leases:
            leases[lease] = store.lease()
        try:
            leases[lease].pin(chunk(one) for one in numbers)
        except QuotaExceeded:
            return "full"
    elif what == "put":
        for one in numbers:
            leases[lease].put(chunk(one), contents(one))
    elif what == "close":
        leases.pop(lease).close()
    elif what == "prune":
        store.prune(quota_bytes=numbers[0])
    elif what == "read":
        try:
            return [store.read(chunk(one)) == contents(one) for one in numbers]
        except CorruptChunk:
            return "missing"
    return "done"


def main() -> None:
    """Take orders until there are no more."""
    store = ChunkStore(Path(sys.argv[1]), quota_bytes=int(sys.argv[2]))
    leases: dict[int, Lease] = {}
    for line in sys.stdin:
        print(json.dumps(act(store, leases, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
