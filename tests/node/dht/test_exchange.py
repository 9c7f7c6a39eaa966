"""An answer counts from the address asked, for the transaction drawn, signed by the node meant; silence ends."""

from __future__ import annotations

import itertools

import pytest

from node.dht.exchange import FIRST_SLOW_S, Ask, Exchange, Failure, Pace, Reply
from tests.fakes.records import NETWORK, identity
from wire import limits
from wire.datagrams import read_head, write_answer
from wire.dht_messages import Ping, Pong
from wire.endpoints import NodeId, network_tag, node_id_of
from wire.errors import BadMessage
from wire.types import Address

TAG = network_tag(NETWORK)
THERE = Address("203.0.113.1", 7311)
NODE = node_id_of(identity(1).public_key)
PING = Ping(sender=NodeId(bytes(20)), serves=False)


class Asked:
    """An exchange with one request under way."""

    def __init__(self, node: NodeId | None = NODE) -> None:
        numbers = itertools.count(1)
        self.exchange = Exchange(TAG, lambda size: next(numbers).to_bytes(size, "big"))
        self.results: list[Reply | Failure] = []
        self.slow = 0
        self.exchange.ask(Ask(PING, THERE, node, self.results.append, self._slow), 0.0)
        ((self.request, _),) = self.exchange.datagrams_to_send()

    def _slow(self) -> None:
        self.slow += 1

    def answer(
        self, number: int = 1, *, source: Address = THERE, now: float = 0.1, spoil: bool = False
    ) -> None:
        transaction = read_head(self.request, TAG).transaction
        pong = Pong(observed=THERE, token=bytes(8))
        data = write_answer(pong, identity(number), tag=TAG, transaction=transaction)
        data = data[:-1] + bytes((data[-1] ^ spoil,))
        self.exchange.receive(data, read_head(data, TAG), source, now)


def test_an_answer_ends_a_request() -> None:
    asked = Asked()
    asked.answer()
    (reply,) = asked.results
    assert isinstance(reply, Reply)
    assert reply.node == NODE
    assert reply.took_s == 0.1
    asked.answer()
    asked.exchange.on_time(100.0)
    assert len(asked.results) == 1
    assert asked.exchange.counts["unasked"] == 1
    assert asked.exchange.next_timeout() is None


def test_an_answer_from_elsewhere_or_nowhere_is_not_one() -> None:
    asked = Asked()
    asked.answer(source=Address("203.0.113.1", 7312))
    asked.answer(source=Address("203.0.113.2", 7311))
    assert asked.results == []
    asked.answer()
    assert len(asked.results) == 1


def test_another_nodes_answer_is_an_impostors_unless_anybody_was_welcome() -> None:
    asked = Asked()
    asked.answer(2)
    assert asked.results == [Failure.IMPOSTOR]
    anybody = Asked(node=None)
    anybody.answer(2)
    assert isinstance(anybody.results[0], Reply)


def test_a_forged_answer_ends_the_request_and_is_told() -> None:
    asked = Asked()
    with pytest.raises(BadMessage):
        asked.answer(spoil=True)
    assert asked.results == [Failure.FORGED]


def test_a_request_is_slow_then_sent_again_then_lost() -> None:
    asked = Asked()
    assert asked.exchange.next_timeout() == FIRST_SLOW_S
    asked.exchange.on_time(FIRST_SLOW_S)
    assert asked.slow == 1
    assert asked.exchange.datagrams_to_send() == [(asked.request, THERE)]
    assert asked.exchange.next_timeout() == limits.LOST_AFTER_S
    asked.exchange.on_time(limits.LOST_AFTER_S)
    assert asked.results == [Failure.LOST]
    assert asked.exchange.datagrams_to_send() == []


def test_a_late_answer_still_counts_but_is_no_measure() -> None:
    asked = Asked()
    asked.exchange.on_time(FIRST_SLOW_S)
    asked.answer(now=1.0)
    assert isinstance(asked.results[0], Reply)
    assert asked.exchange.pace.slow_after_s(THERE.ip) == FIRST_SLOW_S


def test_there_are_only_so_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_OUTSTANDING", 1)
    asked = Asked()
    results: list[Reply | Failure] = []
    asked.exchange.ask(Ask(PING, THERE, None, results.append), 0.0)
    assert results == [Failure.BUSY]


def test_closing_ends_all_requests() -> None:
    asked = Asked()
    asked.exchange.close()
    assert asked.results == [Failure.CLOSED]


def test_what_is_slow_follows_what_was_measured_for_each_scope() -> None:
    pace = Pace()
    for _ in range(50):
        pace.note("127.0.0.1", 0.001)
        pace.note("8.8.8.8", 0.1)
    assert pace.slow_after_s("127.0.0.1") == limits.SLOW_LEAST_S
    assert 0.1 < pace.slow_after_s("8.8.8.8") < 0.2
    assert pace.slow_after_s("192.168.1.1") == FIRST_SLOW_S
    for _ in range(50):
        pace.note("8.8.8.8", 3.0)
    assert pace.slow_after_s("8.8.8.8") == limits.SLOW_MOST_S
