"""Runs every fuzz target over random bytes and mutated seeds, the same ones each time."""

from __future__ import annotations

import random
import time
from types import ModuleType

import pytest

from tests.fuzz import (
    cbor,
    codec,
    connection,
    control,
    datagrams,
    discovery,
    frames,
    handshake,
    manifest,
    records,
    texts,
)

TARGETS = [
    (cbor, 4000),
    (codec, 3000),
    (frames, 400),
    (handshake, 150),
    (connection, 250),
    (manifest, 1500),
    (records, 2000),
    (datagrams, 2000),
    (texts, 2500),
    (discovery, 1500),
    (control, 2000),
]
"""Each module with `fuzz(data)` and `SEEDS`, and how often it runs here; a fuzzer may run it for ever."""
INTERESTING = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x9F, 0xBF, 0x5B, 0xC2, 0xD8, 0xFB, 0x20)
SLOWEST_S = 2.0
"""No input may take longer; generous, since the machine may be busy."""


def mutated(seed: bytes, source: random.Random) -> bytes:
    """A seed with some bytes changed, removed, repeated or inserted."""
    data = bytearray(seed)
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << source.randrange(8)
            case 1 if at < len(data):
                data[at] = source.choice(INTERESTING)
            case 2:
                del data[at : at + source.randint(1, 8)]
            case 3:
                data[at:at] = data[at : at + source.randint(1, 32)]
            case _:
                data[at:at] = source.randbytes(source.randint(1, 4))
    return bytes(data)


@pytest.mark.parametrize(("target", "runs"), TARGETS, ids=lambda value: getattr(value, "__name__", ""))
def test_no_input_raises_what_it_should_not_or_takes_long(target: ModuleType, runs: int) -> None:
    source = random.Random(target.__name__)
    for seed in target.SEEDS:
        target.fuzz(seed)
    for number in range(runs):
        blind = number % 4 == 0
        data = (
            source.randbytes(source.randrange(200)) if blind else mutated(source.choice(target.SEEDS), source)
        )
        started = time.process_time()
        target.fuzz(data)
        assert time.process_time() - started < SLOWEST_S, data.hex()
