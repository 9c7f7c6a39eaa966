"""How strangers become peers, and everything that stops them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crypto.identity import Identity
from crypto.keys import KeyPair
from crypto.noise.binding import prologue, sign_static
from crypto.noise.handshake import Handshake
from tests.fakes.joined import config
from wire import codec, handshake, limits
from wire.codes import Code
from wire.errors import InvalidValue, PeerRefused
from wire.handshake import Introduction, Peer
from wire.messages.base import Message
from wire.messages.link import Hello, Ping

DIALLER = Identity.from_seed(b"i" * 32)
ANSWERER = Identity.from_seed(b"r" * 32)


def meet(initiator: Introduction, responder: Introduction) -> tuple[Peer, Peer]:
    """Shake hands; return whom the initiator met and whom the responder met."""
    second, _ = responder.receive(initiator.first())
    assert second is not None
    third, met_by_initiator = initiator.receive(second)
    assert third is not None
    assert met_by_initiator is not None
    nothing, met_by_responder = responder.receive(third)
    assert nothing is None
    assert met_by_responder is not None
    return met_by_initiator, met_by_responder


def test_both_sides_learn_who_the_other_is() -> None:
    responder = Introduction(config(initiator=False, features=(1, 7)))
    met_by_initiator, met_by_responder = meet(Introduction(config(initiator=True)), responder)
    assert (met_by_initiator.peer_id, met_by_initiator.agent) == (ANSWERER.peer_id, "agent-r")
    assert (met_by_responder.peer_id, met_by_responder.agent) == (DIALLER.peer_id, "agent-i")
    assert met_by_initiator.features == (1, 7)
    assert met_by_initiator.static_key == KeyPair.from_seed(b"r" * 31 + b"s").public


def test_the_expected_peer_is_let_through() -> None:
    meet(
        Introduction(config(initiator=True, expected_peer=ANSWERER.peer_id)),
        Introduction(config(initiator=False)),
    )


def test_another_peer_than_expected_is_refused_before_we_say_who_we_are() -> None:
    initiator = Introduction(config(initiator=True, expected_peer=DIALLER.peer_id))
    second, _ = Introduction(config(initiator=False)).receive(initiator.first())
    with pytest.raises(PeerRefused, match="meant") as raised:
        initiator.receive(second or b"")
    assert raised.value.code is Code.WRONG_PEER
    assert not initiator.complete


def test_a_foreign_network_fails_at_message_two() -> None:
    initiator = Introduction(config(initiator=True, network="home"))
    second, _ = Introduction(config(initiator=False, network="elsewhere")).receive(initiator.first())
    with pytest.raises(PeerRefused, match="network or version") as raised:
        initiator.receive(second or b"")
    assert raised.value.code is Code.HANDSHAKE_FAILED


def test_another_major_version_fails_at_message_two(monkeypatch: pytest.MonkeyPatch) -> None:
    initiator = Introduction(config(initiator=True))
    monkeypatch.setattr(handshake, "MAJOR_VERSION", 2)
    second, _ = Introduction(config(initiator=False)).receive(initiator.first())
    with pytest.raises(PeerRefused, match="network or version"):
        initiator.receive(second or b"")


def test_one_process_does_not_link_to_itself() -> None:
    initiator = Introduction(config(initiator=True, static_seed=b"p" * 32))
    responder = Introduction(config(initiator=False, static_seed=b"p" * 32))
    second, _ = responder.receive(initiator.first())
    with pytest.raises(PeerRefused, match="this very process") as raised:
        initiator.receive(second or b"")
    assert raised.value.code is Code.WRONG_PEER


def test_two_processes_of_one_identity_may_link() -> None:
    met, _ = meet(
        Introduction(config(initiator=True, identity_seed=b"x" * 32)),
        Introduction(config(initiator=False, identity_seed=b"x" * 32)),
    )
    assert met.peer_id == Identity.from_seed(b"x" * 32).peer_id


def test_both_sides_speak_the_lower_version(monkeypatch: pytest.MonkeyPatch) -> None:
    initiator, responder = Introduction(config(initiator=True)), Introduction(config(initiator=False))
    second, _ = responder.receive(initiator.first())
    monkeypatch.setattr(handshake, "VERSION", 5)
    _, peer = initiator.receive(second or b"")
    assert peer is not None
    assert peer.version == 1


def test_a_peer_that_is_too_old_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    initiator, responder = Introduction(config(initiator=True)), Introduction(config(initiator=False))
    second, _ = responder.receive(initiator.first())
    third, _ = initiator.receive(second or b"")
    monkeypatch.setattr(handshake, "OLDEST_VERSION", 2)
    with pytest.raises(PeerRefused) as raised:
        responder.receive(third or b"")
    assert raised.value.code is Code.VERSION
    assert responder.complete


def hello(**changes: object) -> Hello:
    values: dict[str, object] = {
        "version": 1,
        "identity": DIALLER.public_key,
        "signature": sign_static(DIALLER, KeyPair.from_seed(b"k" * 32).public),
        "agent": "",
        "features": (),
    }
    return Hello(**(values | changes))  # type: ignore[arg-type]  # the values are a hello's, or wrong on purpose


def third_message(payload: bytes, responder: Introduction) -> bytes:
    """Shake hands with `responder` by hand, up to a third message with any payload."""
    noise = Handshake(
        initiator=True,
        static=KeyPair.from_seed(b"k" * 32),
        ephemeral=KeyPair.from_seed(b"l" * 32),
        prologue=prologue(handshake.PROTOCOL, handshake.MAJOR_VERSION, "test"),
    )
    second, _ = responder.receive(noise.write_message(b""))
    noise.read_message(second or b"")
    return noise.write_message(payload)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(hello(identity=ANSWERER.public_key), id="someone else's identity"),
        pytest.param(hello(identity=bytes(32)), id="no key at all"),
        pytest.param(hello(signature=bytes(64)), id="no signature"),
        pytest.param(
            hello(signature=sign_static(DIALLER, KeyPair.from_seed(b"m" * 32).public)),
            id="signed another key",
        ),
        pytest.param(Ping(nonce=1), id="another message"),
    ],
)
def test_a_hello_that_does_not_prove_the_identity_is_refused(message: Message) -> None:
    responder = Introduction(config(initiator=False))
    third = third_message(codec.encode(message)[0], responder)
    with pytest.raises(PeerRefused) as raised:
        responder.receive(third)
    assert raised.value.code is Code.HANDSHAKE_FAILED


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xa0", b"\x81" * 100, codec.encode(hello())[0] + b"x"])
def test_a_payload_that_is_no_message_is_refused(payload: bytes) -> None:
    responder = Introduction(config(initiator=False))
    third = third_message(payload, responder)
    with pytest.raises(PeerRefused, match="no hello"):
        responder.receive(third)


def test_a_hello_by_hand_is_accepted() -> None:
    responder = Introduction(config(initiator=False))
    _, peer = responder.receive(third_message(codec.encode(hello())[0], responder))
    assert peer is not None
    assert peer.peer_id == DIALLER.peer_id


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: bytes((data[0] ^ 1,)) + data[1:],
        lambda data: data[:40] + bytes((data[40] ^ 1,)) + data[41:],
        lambda data: data[:-1] + bytes((data[-1] ^ 1,)),
        lambda data: bytes(32) + data[32:],
        lambda data: b"",
    ],
)
def test_an_altered_second_message_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    initiator = Introduction(config(initiator=True))
    second, _ = Introduction(config(initiator=False)).receive(initiator.first())
    with pytest.raises(PeerRefused) as raised:
        initiator.receive(spoil(second or b""))
    assert raised.value.code is Code.HANDSHAKE_FAILED


def test_a_low_order_first_message_is_refused() -> None:
    with pytest.raises(PeerRefused):
        Introduction(config(initiator=False)).receive(bytes(32))


def test_the_expected_lengths_hold_every_real_message() -> None:
    initiator = Introduction(config(initiator=True, agent="a" * limits.MAX_AGENT_CHARS))
    responder = Introduction(
        config(initiator=False, features=tuple(range(65_000, 65_000 + limits.MAX_FEATURES)))
    )
    first = initiator.first()
    assert responder.expected_bytes == (len(first), len(first))
    second, _ = responder.receive(first)
    least, most = initiator.expected_bytes
    assert least <= len(second or b"") <= most
    third, _ = initiator.receive(second or b"")
    least, most = responder.expected_bytes
    assert least <= len(third or b"") <= most


def test_seeds_are_not_printed() -> None:
    one = config(initiator=True, static_seed=b"SECRET" + bytes(26))
    assert "SECRET" not in repr(one)


@pytest.mark.parametrize(
    "wrong", [{"agent": "a" * 65}, {"agent": "a\n"}, {"features": (65_536,)}, {"features": (1,) * 65}]
)
def test_what_a_peer_would_refuse_is_refused_here(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        config(initiator=True, **wrong)  # type: ignore[arg-type]  # wrong on purpose
