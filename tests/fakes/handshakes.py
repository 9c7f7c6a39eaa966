"""Handshakes with fixed keys, taken as far as a test wants."""

from __future__ import annotations

from dataclasses import dataclass

from crypto.digest import sha256
from crypto.keys import KeyPair
from crypto.noise.handshake import Handshake, TransportKeys

PROLOGUE = b"a prologue"
PAYLOADS = (b"", b"payload two", b"payload three")


def key_pair(name: str) -> KeyPair:
    """Return the key pair that always belongs to this name."""
    return KeyPair.from_seed(sha256(name.encode()))


@dataclass
class Pair:
    """Both sides of one handshake, and the messages so far."""

    initiator: Handshake
    responder: Handshake
    messages: list[bytes]

    def turn(self, number: int) -> tuple[Handshake, Handshake]:
        """Return who sends message `number`, counted from zero, and who receives it."""
        if number % 2 == 0:
            return self.initiator, self.responder
        return self.responder, self.initiator

    def advance(self, count: int) -> None:
        """Pass the next `count` messages untouched."""
        for _ in range(count):
            number = len(self.messages)
            sender, receiver = self.turn(number)
            message = sender.write_message(PAYLOADS[number])
            assert receiver.read_message(message) == PAYLOADS[number]
            self.messages.append(message)

    def split(self) -> tuple[TransportKeys, TransportKeys]:
        """Return the transport of the initiator and of the responder."""
        return self.initiator.split(), self.responder.split()


def new_pair(*, after: int = 0, name: str = "", responder_prologue: bytes = PROLOGUE) -> Pair:
    """Return both sides after `after` messages; pairs of different names share no keys."""
    pair = Pair(
        initiator=Handshake(
            initiator=True,
            static=key_pair(f"initiator static {name}"),
            ephemeral=key_pair(f"initiator ephemeral {name}"),
            prologue=PROLOGUE,
        ),
        responder=Handshake(
            initiator=False,
            static=key_pair(f"responder static {name}"),
            ephemeral=key_pair(f"responder ephemeral {name}"),
            prologue=responder_prologue,
        ),
        messages=[],
    )
    pair.advance(after)
    return pair
