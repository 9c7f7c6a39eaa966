"""The fixed vectors of what peers say about reachability and of relays, for `scripts.make_message_vectors`."""

from __future__ import annotations

from typing import Final

from crypto.digest import sha256
from crypto.identity import Identity, PeerId
from wire import limits
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.reach import DialBack, DialledBack, Outcome, Proof, Transport
from wire.messages.relay import (
    RelayAccept,
    RelayClose,
    RelayConnect,
    RelayCredit,
    RelayData,
    RelayIncoming,
    RelayNo,
    RelayReserve,
    RelayReserved,
)
from wire.reservation import sign_reservation
from wire.types import Address


def _bytes(name: str) -> bytes:
    return sha256(b"lamella vector: ", name.encode())


def _peer(name: str) -> PeerId:
    return Identity.from_seed(_bytes(f"identity {name}")).peer_id


NONCE: Final = _bytes("nonce")[: limits.DIAL_BACK_NONCE_BYTES]
CIRCUIT: Final = _bytes("circuit")[: limits.CIRCUIT_ID_BYTES]
RESERVATION: Final = sign_reservation(Identity.from_seed(_bytes("identity a")), _peer("b"), 1_800_000_000)
"""Made by the relay that is peer a."""

REACH_MESSAGES: Final[tuple[tuple[str, Message], ...]] = (
    ("dial_back", DialBack(nonce=NONCE, transport=Transport.UDP, port=7_311)),
    (
        "dialled_back",
        DialledBack(nonce=NONCE, address=Address("203.0.113.7", 7_311), outcome=Outcome.REACHED),
    ),
    ("proof", Proof(nonce=NONCE)),
    ("relay_reserve", RelayReserve()),
    (
        "relay_reserved",
        RelayReserved(
            expires=1_800_000_000,
            lifetime_s=3_600,
            circuits=8,
            circuit_bytes=1 << 30,
            circuit_s=3_600,
            key=Identity.from_seed(_bytes("identity a")).public_key,
            signature=RESERVATION,
        ),
    ),
    ("relay_no", RelayNo(code=Code.NO_RELAY, detail="this peer carries no links")),
    ("relay_connect", RelayConnect(circuit=CIRCUIT, host=_peer("b"))),
    ("relay_incoming", RelayIncoming(circuit=CIRCUIT, client=_peer("client"))),
    ("relay_accept", RelayAccept(circuit=CIRCUIT)),
    ("relay_data", RelayData(circuit=CIRCUIT, body=bytes.fromhex("0020") + _bytes("ephemeral key"))),
    ("relay_credit", RelayCredit(circuit=CIRCUIT, taken=262_144)),
    ("relay_close", RelayClose(circuit=CIRCUIT, code=Code.CIRCUIT_SPENT, detail="an hour is over")),
)
