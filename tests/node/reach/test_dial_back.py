"""Both sides of a dial-back: what proves an address, and whom a dial-back can never reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import PeerId
from node.reach import dial_back
from node.reach.dial_back import Asker, Dial, Dialler, Proven, Verdict, probe, probed
from wire import limits
from wire.messages.reach import DialBack, DialledBack, Outcome, Transport
from wire.types import Address

A, B = PeerId(b"a" * 32), PeerId(b"b" * 32)
THEIRS = Address("9.9.9.9", 50_000)
OURS = Address("8.8.4.4", 7311)
NONCE = bytes(range(16))
TCP, UDP = Transport.TCP, Transport.UDP


def asked(transport: Transport = TCP) -> Asker:
    asker = Asker()
    question = asker.ask(A, THEIRS, transport, OURS.port, nonce=NONCE, now=0.0)
    assert question == DialBack(nonce=NONCE, transport=transport, port=OURS.port)
    return asker


def said(outcome: Outcome = Outcome.REACHED, address: Address = OURS, nonce: bytes = NONCE) -> DialledBack:
    return DialledBack(nonce=nonce, address=address, outcome=outcome)


def test_a_nonce_that_comes_back_over_a_link_of_the_peer_proves_the_address() -> None:
    asker = asked()
    asker.on_proof(NONCE, A)
    verdict = asker.on_answer(A, said(), 1.0)
    assert verdict == Verdict(transport=TCP, address=OURS, proven=True, by=A, network="9.9.0.0/16")
    assert asker.on_answer(A, said(), 1.0) is None


def test_a_claim_without_the_nonce_proves_nothing() -> None:
    verdict = asked().on_answer(A, said(), 1.0)
    assert verdict is not None
    assert not verdict.proven


@pytest.mark.parametrize("by", [B, None])
def test_a_nonce_from_somebody_else_proves_nothing(by: PeerId | None) -> None:
    asker = asked()
    asker.on_proof(NONCE, by)
    verdict = asker.on_answer(A, said(), 1.0)
    assert verdict is not None
    assert not verdict.proven


def test_another_peer_cannot_answer_for_the_one_that_was_asked() -> None:
    asker = asked()
    assert asker.on_answer(B, said(), 1.0) is None
    assert asker.on_answer(A, said(nonce=bytes(16)), 1.0) is None


def test_an_answer_about_another_port_names_no_address() -> None:
    asker = asked()
    asker.on_proof(NONCE, A)
    verdict = asker.on_answer(A, said(address=Address(OURS.ip, 9)), 1.0)
    assert verdict is not None
    assert (verdict.proven, verdict.address) == (False, None)


def test_a_refusal_says_nothing_of_the_address() -> None:
    verdict = asked().on_answer(A, said(Outcome.REFUSED), 1.0)
    assert verdict is not None
    assert verdict.refused


def test_a_datagram_may_come_a_little_after_the_answer() -> None:
    asker = asked(UDP)
    assert asker.on_answer(A, said(), 1.0) is None
    assert asker.on_time(1.0) == []
    asker.on_proof(NONCE, None)
    [verdict] = asker.on_time(1.0 + dial_back.STRAGGLE_S)
    assert verdict.proven


def test_a_datagram_that_never_comes_is_waited_for_a_moment_only() -> None:
    asker = asked(UDP)
    asker.on_answer(A, said(), 1.0)
    [verdict] = asker.on_time(1.0 + dial_back.STRAGGLE_S)
    assert (verdict.proven, verdict.address) == (False, OURS)


def test_a_peer_that_never_answers_or_goes_away_ends_the_question() -> None:
    asker = asked()
    [verdict] = asker.on_time(limits.DIAL_BACK_TIMEOUT_S)
    assert (verdict.proven, verdict.refused) == (False, False)
    [verdict] = asked().forget(A)
    assert verdict.refused
    assert asked().forget(B) == []


def test_open_questions_are_bounded() -> None:
    asker = Asker()
    made = [
        asker.ask(A, THEIRS, TCP, 1, nonce=bytes((n,)) * 16, now=0.0) for n in range(dial_back.MAX_ASKED + 1)
    ]
    assert made[-1] is None
    assert None not in made[:-1]


QUESTION = DialBack(nonce=NONCE, transport=TCP, port=7311)


@given(st.ip_addresses(), st.integers(0, 65_535), st.sampled_from(Transport), st.booleans())
def test_nobody_is_dialled_but_who_asked_at_the_address_the_question_came_from(
    ip: object, port: int, transport: Transport, carried: bool
) -> None:
    question = DialBack(nonce=NONCE, transport=transport, port=port)
    todo = Dialler().on_question(A, Address(str(ip), 50_000), question, carried=carried, now=0.0)
    if isinstance(todo, Dial):
        assert (todo.peer, todo.address) == (A, Address(str(ip), port))
        assert port >= limits.LEAST_DIAL_BACK_PORT
        assert not carried
    else:
        assert todo.outcome is Outcome.REFUSED
        assert carried or port < limits.LEAST_DIAL_BACK_PORT


def test_one_peer_and_one_address_are_dialled_back_now_and_then_only() -> None:
    dialler = Dialler()
    first = dialler.on_question(A, THEIRS, QUESTION, carried=False, now=0.0)
    assert isinstance(first, Dial)
    assert dialler.over(first, reached=True) == said(address=Address(THEIRS.ip, 7311))
    again = dialler.on_question(A, Address("7.7.7.7", 1), QUESTION, carried=False, now=1.0)
    assert isinstance(again, DialledBack)
    # Several hosts may be behind one address, and many may not.
    for number in range(1, 2 * limits.MAX_DIAL_BACKS_PER_IP):
        todo = dialler.on_question(PeerId(bytes((number,)) * 32), THEIRS, QUESTION, carried=False, now=1.0)
        assert isinstance(todo, Dial) == (number < limits.MAX_DIAL_BACKS_PER_IP)
        if isinstance(todo, Dial):
            dialler.over(todo, reached=True)
    later = dialler.on_question(A, THEIRS, QUESTION, carried=False, now=limits.DIAL_BACK_INTERVAL_S)
    assert isinstance(later, Dial)


def test_dial_backs_under_way_are_bounded_and_end() -> None:
    dialler = Dialler()
    todos = [
        dialler.on_question(
            PeerId(bytes((n,)) * 32), Address(f"1.{n}.1.1", 1), QUESTION, carried=False, now=0.0
        )
        for n in range(limits.MAX_DIAL_BACKS + 1)
    ]
    assert isinstance(todos[-1], DialledBack)
    first = todos[0]
    assert isinstance(first, Dial)
    assert dialler.over(first, reached=False).outcome is Outcome.UNREACHED
    assert isinstance(dialler.on_question(B, THEIRS, QUESTION, carried=False, now=0.0), Dial)


def test_what_is_remembered_of_askers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_back, "MAX_REMEMBERED", 4)
    dialler = Dialler()
    for n in range(50):
        peer = PeerId(bytes((n,)) * 32)
        todo = dialler.on_question(peer, Address(f"1.{n}.1.1", 1), QUESTION, carried=False, now=float(n))
        assert isinstance(todo, Dial)
        dialler.over(todo, reached=True)
        assert len(dialler._last) <= 4


def verdict(network: str, *, proven: bool = True, refused: bool = False) -> Verdict:
    return Verdict(transport=TCP, address=OURS, proven=proven, by=A, network=network, refused=refused)


def test_two_networks_prove_an_address_and_it_lapses() -> None:
    proven = Proven()
    proven.take(verdict("other", proven=False), 0.0)
    proven.take(verdict("one"), 0.0)
    proven.take(verdict("one"), 1.0)
    assert proven.addresses(TCP, 2.0) == []
    proven.take(verdict("two"), 2.0)
    assert proven.addresses(TCP, 3.0) == [OURS]
    assert proven.addresses(UDP, 3.0) == []
    assert proven.addresses(TCP, 3.0 + dial_back.KEPT_S) == []
    proven.forget()
    assert proven.addresses(TCP, 3.0) == []


def test_where_only_one_network_has_tried_it_is_enough_until_another_says_otherwise() -> None:
    proven = Proven()
    proven.take(verdict("one"), 0.0)
    assert proven.addresses(TCP, 0.0) == [OURS]
    # Networks of the other family have no say.
    proven.take(verdict("2001:db8::/32", proven=False), 1.0)
    assert proven.addresses(TCP, 1.0) == [OURS]
    proven.take(verdict("two", proven=False), 1.0)
    assert proven.addresses(TCP, 1.0) == []


def test_an_address_that_this_machine_knows_as_its_own_needs_one_network() -> None:
    proven = Proven(ours=lambda address: address == OURS)
    proven.take(verdict("two", proven=False), 0.0)
    proven.take(verdict("one"), 0.0)
    assert proven.addresses(TCP, 0.0) == [OURS]


def test_three_networks_that_fail_take_the_proof_away_and_refusals_do_not() -> None:
    proven = Proven(needed=1)
    proven.take(verdict("one"), 0.0)
    for network in ("a", "b", "c"):
        proven.take(verdict(network, proven=False, refused=True), 1.0)
    for network in ("a", "b", "b"):
        proven.take(verdict(network, proven=False), 1.0)
    assert proven.addresses(TCP, 1.0) == [OURS]
    proven.take(verdict("c", proven=False), 1.0)
    assert proven.addresses(TCP, 1.0) == []


def test_addresses_named_by_liars_are_bounded() -> None:
    proven = Proven()
    for port in range(1, 200):
        address = Address("8.8.4.4", port)
        proven.take(Verdict(transport=TCP, address=address, proven=True, by=A, network="x"), 0.0)
    assert len(proven._proofs) <= dial_back.MAX_ASKED


def test_a_probe_is_known_by_its_head_and_length() -> None:
    assert probed(probe(NONCE)) == NONCE
    for other in (b"", probe(NONCE)[:-1], probe(NONCE) + b"x", b"x" + probe(NONCE)[1:]):
        assert probed(other) is None
