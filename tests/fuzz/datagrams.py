"""Fuzz target: any bytes are a datagram in bounds or `BadMessage`; a node that gets them neither raises nor shouts."""

from __future__ import annotations

import random

from node.dht.protocol import Protocol
from scripts.make_record_vectors import ANSWERS, HOST, ISSUED, NETWORK, NONCE, REQUESTS, TRANSACTION, V4
from wire import limits
from wire.datagrams import read_answer, read_head, read_request, write_answer, write_knock, write_request
from wire.endpoints import network_tag
from wire.errors import BadMessage
from wire.types import Address

TAG = network_tag(NETWORK)
SEEDS = (
    *(write_request(one, tag=TAG, transaction=TRANSACTION) for one in REQUESTS),
    *(write_answer(one, HOST, tag=TAG, transaction=TRANSACTION) for one in ANSWERS),
    write_knock(tag=TAG, nonce=NONCE),
)
"""Every kind of datagram."""
NODE = Protocol(HOST, NETWORK, random=random.Random(1).randbytes, wall=lambda: ISSUED)
SOURCE = Address("127.0.0.1", V4.port)
"""Of this machine, which is not throttled: a fuzzer sends faster than anyone may."""


def fuzz(data: bytes) -> None:
    """Read as what the head says, then hand it to a node."""
    NODE.receive(data, SOURCE, 0.0)
    answered = sum(len(one) for one, _ in NODE.datagrams_to_send())
    # Its challenge of a sender comes on top once, and is no longer than the request.
    assert answered <= (limits.AMPLIFICATION + 1) * len(data)
    try:
        head = read_head(data, TAG)
        if head.is_answer:
            read_answer(data, head)
        else:
            request = read_request(data, head)
            again = write_request(request, tag=TAG, transaction=head.transaction)
            assert read_request(again, read_head(again, TAG)) == request
    except BadMessage as error:
        assert len(error.detail) <= limits.MAX_DETAIL_CHARS
