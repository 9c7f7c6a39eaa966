"""Write the fixed vectors in `specs/vectors/` from fixed seeds: `python -m scripts.make_vectors [--check]`.

With `--check` nothing is written and files that differ are named. A vector that changes means that peers of the
old version no longer understand us: change it only with the version.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from crypto.digest import sha256
from crypto.identity import Identity
from crypto.keys import KeyPair
from crypto.noise.binding import STATIC_KEY_CONTEXT, prologue, sign_static
from crypto.noise.handshake import PROTOCOL_NAME, Handshake, TransportKeys
from scripts import (
    make_discovery_vectors,
    make_manifest_vectors,
    make_message_vectors,
    make_record_vectors,
    make_sampling_vectors,
)

DIRECTORY = Path(__file__).resolve().parent.parent / "specs" / "vectors"

TRANSPORT: tuple[tuple[str, str, str], ...] = (
    # what happens, who sends, the plaintext
    ("message", "initiator", "first from the initiator"),
    ("message", "responder", "first from the responder"),
    ("message", "initiator", ""),
    ("message", "initiator", "third in this direction"),
    ("rekey", "initiator", ""),
    ("message", "initiator", "after the initiator's direction rekeyed"),
    ("message", "responder", "the other direction did not"),
    ("rekey", "responder", ""),
    ("rekey", "initiator", ""),
    ("message", "responder", "after the responder's direction rekeyed"),
    ("message", "initiator", "after a second rekey"),
)


def seed(name: str) -> bytes:
    """Return the fixed 32-byte seed of a name."""
    return sha256(b"lamella vector seed: ", name.encode())


def noise_xx() -> object:
    """Return whole handshakes with their transport messages and rekeys."""
    initiator_static, responder_static = KeyPair.from_seed(seed("i s")), KeyPair.from_seed(seed("r s"))
    alice, bob = Identity.from_seed(seed("alice")), Identity.from_seed(seed("bob"))
    identities = (
        b"",
        bob.public_key + sign_static(bob, responder_static.public),
        alice.public_key + sign_static(alice, initiator_static.public),
    )
    named = prologue("lamella", 1, "main")
    return {
        "comment": "All byte strings are hexadecimal. A rekey step applies to the sender's direction, on both sides.",
        "protocol_name": PROTOCOL_NAME.decode(),
        "prologues": [
            {
                "protocol": protocol,
                "version": version,
                "network": network,
                "prologue": prologue(protocol, version, network).hex(),
            }
            for protocol, version, network in (
                ("lamella", 1, "main"),
                ("lamella", 2**32 - 1, "a"),
                ("lamell", 1, "amain"),
                ("lamella", 1, "réseau privé"),
            )
        ],
        "handshakes": [
            _handshake("empty prologue and payloads", b"", (b"", b"", b"")),
            _handshake("network prologue, identity payloads", named, identities),
            _handshake("payload in every message", named, (b"one", b"two" * 100, b"three")),
        ],
    }


def identity() -> object:
    """Return keys, peer ids and signatures with their contexts."""
    names = ("alice", "bob", "zero")
    seeds = [bytes(32) if name == "zero" else seed(name) for name in names]
    signed = (("lamella-vector/1", b""), ("lamella-vector/1", b"message"), ("lamella-vector/2", b"message"))
    alice, static = Identity.from_seed(seeds[0]), KeyPair.from_seed(seed("i s"))
    canonical = str(alice.peer_id)
    return {
        "comment": "All byte strings are hexadecimal. Each signature is checked with its own context only.",
        "identities": [
            {
                "seed": secret.hex(),
                "public_key": made.public_key.hex(),
                "peer_id_bytes": made.peer_id.raw.hex(),
                "peer_id": str(made.peer_id),
            }
            for secret, made in ((secret, Identity.from_seed(secret)) for secret in seeds)
        ],
        "signatures": [
            {
                "seed": seeds[0].hex(),
                "context": context,
                "message": message.hex(),
                "signature": alice.sign(context, message).hex(),
            }
            for context, message in signed
        ],
        "static_binding": {
            "seed": seeds[0].hex(),
            "context": STATIC_KEY_CONTEXT,
            "static_seed": seed("i s").hex(),
            "static_public": static.public.hex(),
            "signature": sign_static(alice, static.public).hex(),
        },
        "refused_peer_ids": [
            "",
            canonical.upper(),
            canonical[:-1],
            canonical + "a",
            canonical + "====",
            " " + canonical[1:],
            "1" + canonical[1:],
            canonical[:-1] + "b",
        ],
    }


def _handshake(name: str, prologue_bytes: bytes, payloads: tuple[bytes, bytes, bytes]) -> object:
    seeds = {key: seed(key) for key in ("i s", "i e", "r s", "r e")}
    sides = {
        side: Handshake(
            initiator=side == "initiator",
            static=KeyPair.from_seed(seeds[f"{side[0]} s"]),
            ephemeral=KeyPair.from_seed(seeds[f"{side[0]} e"]),
            prologue=prologue_bytes,
        )
        for side in ("initiator", "responder")
    }
    messages = []
    for number, payload in enumerate(payloads):
        sender, receiver = ("initiator", "responder") if number % 2 == 0 else ("responder", "initiator")
        message = sides[sender].write_message(payload)
        sides[receiver].read_message(message)
        messages.append({"sender": sender, "payload": payload.hex(), "message": message.hex()})
    keys = {side: handshake.split() for side, handshake in sides.items()}
    return {
        "name": name,
        "prologue": prologue_bytes.hex(),
        "initiator_static_seed": seeds["i s"].hex(),
        "initiator_ephemeral_seed": seeds["i e"].hex(),
        "responder_static_seed": seeds["r s"].hex(),
        "responder_ephemeral_seed": seeds["r e"].hex(),
        "messages": messages,
        "handshake_hash": keys["initiator"].handshake_hash.hex(),
        "transport": [_transport_step(keys, *step) for step in TRANSPORT],
    }


def _transport_step(keys: Mapping[str, TransportKeys], kind: str, sender: str, text: str) -> object:
    if kind == "rekey":
        keys[sender].send.rekey()
        return {"rekey": sender}
    ciphertext = keys[sender].send.encrypt(b"", text.encode())
    return {"sender": sender, "plaintext": text.encode().hex(), "ciphertext": ciphertext.hex()}


FILES: Mapping[str, Callable[[], object]] = {
    "noise_xx.json": noise_xx,
    "identity.json": identity,
    **make_manifest_vectors.FILES,
    **make_message_vectors.FILES,
    **make_record_vectors.FILES,
    **make_discovery_vectors.FILES,
    **make_sampling_vectors.FILES,
}


def main(arguments: list[str]) -> int:
    """Write or check every file; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file differs")
    options = parser.parse_args(arguments)
    stale = []
    for name, make in FILES.items():
        path = DIRECTORY / name
        text = json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
        if options.check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(name)
        elif not options.check:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{DIRECTORY / name} differs from what the code makes", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
