"""Our Noise speaks with two independent implementations, in both roles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import pytest

from crypto.digest import sha256
from crypto.errors import HandshakeFailed
from crypto.keys import KeyPair
from crypto.noise.handshake import Handshake
from tests.fakes.noise_peers import DissononcePeer, NoisePeer, NoiseprotocolPeer

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "specs" / "vectors" / "noise_xx.json").read_text(encoding="utf-8")
)
PEERS: list[type[NoisePeer]] = [NoiseprotocolPeer, DissononcePeer]
PeerT = TypeVar("PeerT", bound=NoisePeer)
PROLOGUE = b"the same on both sides"


def ours(*, initiator: bool, prologue: bytes = PROLOGUE) -> Handshake:
    return Handshake(
        initiator=initiator,
        static=KeyPair.from_seed(sha256(b"our static")),
        ephemeral=KeyPair.from_seed(sha256(b"our ephemeral")),
        prologue=prologue,
    )


def theirs(peer: type[PeerT], *, initiator: bool) -> PeerT:
    return peer(
        initiator=initiator,
        static_seed=sha256(b"their static"),
        ephemeral_seed=sha256(b"their ephemeral"),
        prologue=PROLOGUE,
    )


def shake(us: Handshake, them: NoisePeer) -> None:
    for payload in (b"", b"payload two" * 30, b"payload three"):
        if us.writes_next:
            assert them.read_message(us.write_message(payload)) == payload
        else:
            assert us.read_message(them.write_message(payload)) == payload


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("initiator", [True, False], ids=["we initiate", "we respond"])
def test_we_shake_hands_and_exchange_messages(peer: type[NoisePeer], initiator: bool) -> None:
    us, them = ours(initiator=initiator), theirs(peer, initiator=not initiator)
    shake(us, them)
    keys = us.split()
    assert keys.handshake_hash == them.handshake_hash
    assert us.remote_static == KeyPair.from_seed(sha256(b"their static")).public
    assert them.remote_static == KeyPair.from_seed(sha256(b"our static")).public
    for number in range(20):
        text = bytes([number]) * number * 100
        assert them.decrypt(keys.send.encrypt(b"", text)) == text
        assert keys.receive.decrypt(b"", them.encrypt(text)) == text


@pytest.mark.parametrize("initiator", [True, False], ids=["we initiate", "we respond"])
def test_we_rekey_alike(initiator: bool) -> None:
    us, them = ours(initiator=initiator), theirs(NoiseprotocolPeer, initiator=not initiator)
    shake(us, them)
    keys = us.split()
    for number in range(3):
        assert them.decrypt(keys.send.encrypt(b"", b"out")) == b"out"
        assert keys.receive.decrypt(b"", them.encrypt(b"in")) == b"in"
        keys.send.rekey()
        them.rekey_receive()
        if number:
            keys.receive.rekey()
            them.rekey_send()


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("vector", VECTORS["handshakes"], ids=lambda vector: vector["name"])
def test_the_vectors_are_theirs_too(peer: type[NoisePeer], vector: dict[str, Any]) -> None:
    sides = {
        side: peer(
            initiator=side == "initiator",
            static_seed=bytes.fromhex(vector[f"{side}_static_seed"]),
            ephemeral_seed=bytes.fromhex(vector[f"{side}_ephemeral_seed"]),
            prologue=bytes.fromhex(vector["prologue"]),
        )
        for side in ("initiator", "responder")
    }
    other = {"initiator": "responder", "responder": "initiator"}
    for step in vector["messages"]:
        message = sides[step["sender"]].write_message(bytes.fromhex(step["payload"]))
        assert message.hex() == step["message"]
        assert sides[other[step["sender"]]].read_message(message).hex() == step["payload"]
    assert {each.handshake_hash.hex() for each in sides.values()} == {vector["handshake_hash"]}
    for step in vector["transport"]:
        if "rekey" in step:
            sender, receiver = sides[step["rekey"]], sides[other[step["rekey"]]]
            if not (isinstance(sender, NoiseprotocolPeer) and isinstance(receiver, NoiseprotocolPeer)):
                break
            sender.rekey_send()
            receiver.rekey_receive()
            continue
        assert sides[step["sender"]].encrypt(bytes.fromhex(step["plaintext"])).hex() == step["ciphertext"]


@pytest.mark.parametrize("peer", PEERS)
def test_another_prologue_keeps_us_apart(peer: type[NoisePeer]) -> None:
    us, them = ours(initiator=True, prologue=b"another"), theirs(peer, initiator=False)
    them.read_message(us.write_message(b""))
    with pytest.raises(HandshakeFailed):
        us.read_message(them.write_message(b""))
