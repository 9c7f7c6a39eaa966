"""The fixed vectors of `specs/discovery.md`, for `scripts.make_vectors`, which writes and checks them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Final

from crypto.digest import framed, label, sha256
from crypto.errors import BadSignature
from crypto.identity import Identity, PeerId
from wire.bootstrap_list import CONTEXT, BootstrapList
from wire.cbor import canonical, dumps
from wire.contacts import Contact, pack
from wire.errors import BadMessage, InvalidValue
from wire.invitations import CHECKSUM_BYTES, CHECKSUM_CONTEXT, SCHEME, Invitation
from wire.lan import LanText
from wire.networks import network_tag
from wire.types import Address

NETWORKS: Final = ("main", "a", "amain", "réseau privé", "x" * 64)
SIGNER: Final = Identity.from_seed(sha256(b"lamella vector: bootstrap signer"))
OTHER: Final = Identity.from_seed(sha256(b"lamella vector: another signer"))
ISSUED: Final = 1_800_000_000


def discovery() -> object:
    """Return network tags, join strings, bootstrap lists and LAN announcements, with those that are refused."""
    return {
        "comment": "Byte strings are hexadecimal, texts as they are.",
        "networks": [{"name": name, "tag": network_tag(name).hex()} for name in NETWORKS],
        "join_strings": [_join_string(one) for one in _invitations()],
        "refused_join_strings": [_refused_join_string(why, text) for why, text in _spoiled_join_strings()],
        "bootstrap": {
            "seed": sha256(b"lamella vector: bootstrap signer").hex(),
            "public_key": SIGNER.public_key.hex(),
            "lists": [_list(one) for one in _lists()],
            "refused": [_refused_list(why, data) for why, data in _spoiled_lists()],
        },
        "lan": [
            {
                "peer_id": str(_peer("a")),
                "network": name,
                "text": [
                    f"{key.decode()}={value.decode()}"
                    for key, value in LanText(peer=_peer("a"), network=network_tag(name)).encode().items()
                ],
            }
            for name in NETWORKS[:2]
        ],
    }


FILES: Mapping[str, Callable[[], object]] = {"discovery.json": discovery}


def _peer(name: str) -> PeerId:
    return Identity.from_seed(sha256(b"lamella vector: identity ", name.encode())).peer_id


def _contacts(count: int) -> tuple[Contact, ...]:
    return tuple(
        Contact(
            peer=_peer(str(one)), address=Address(f"2001:db8:ffff:ffff:ffff:ffff:ffff:{one + 1:x}", 65_535)
        )
        for one in range(count)
    )


def _invitations() -> tuple[Invitation, ...]:
    known = Contact(peer=_peer("a"), address=Address("192.0.2.7", 7311))
    unknown = Contact(address=Address("2001:db8::7", 443))
    return (
        Invitation(network="main", contacts=(known,)),
        Invitation(network="réseau privé", contacts=(unknown, known)),
        Invitation(network="x" * 64, contacts=_contacts(8)),
    )


def _join_string(invitation: Invitation) -> object:
    return {
        "network": invitation.network,
        "contacts": [str(one) for one in invitation.contacts],
        "text": str(invitation),
    }


def sealed(payload: bytes) -> str:
    """The join string of any payload, with the checksum that belongs to it."""
    checksum = sha256(framed(label(CHECKSUM_CONTEXT), payload))[:CHECKSUM_BYTES]
    return SCHEME + base64.b32encode(checksum + payload).decode().rstrip("=").lower()


def _spoiled_join_strings() -> list[tuple[str, str]]:
    good = str(_invitations()[0])
    contact = pack(_invitations()[0].contacts[0])
    peer, ip, port = contact
    letter = "a" if good[40] != "a" else "b"
    return [
        ("nothing", ""),
        ("another scheme", good.replace("lamella:", "lamelle:")),
        ("no contents", SCHEME),
        ("a letter changed", good[:40] + letter + good[41:]),
        ("two letters exchanged", good[:40] + good[41] + good[40] + good[42:]),
        ("its end missing", good[:-8]),
        ("something behind it", good + "aaaaaaaa"),
        ("a space before it", " " + good),
        ("capital letters", good.upper()),
        ("padding", good + "="),
        ("a later version", sealed(canonical([2, "main", [contact]]))),
        ("an earlier version", sealed(canonical([0, "main", [contact]]))),
        ("no contact", sealed(canonical([1, "main", []]))),
        ("nine contacts", sealed(canonical([1, "main", [pack(one) for one in _contacts(9)]]))),
        ("a contact twice", sealed(canonical([1, "main", [contact, contact]]))),
        ("no network", sealed(canonical([1, "", [contact]]))),
        ("a network that cannot be printed", sealed(canonical([1, "ma\nin", [contact]]))),
        ("a port of 0", sealed(canonical([1, "main", [[peer, ip, 0]]]))),
        ("a port past 65535", sealed(canonical([1, "main", [[peer, ip, 65_536]]]))),
        ("the address of everything", sealed(canonical([1, "main", [[peer, bytes(4), port]]]))),
        ("a multicast address", sealed(canonical([1, "main", [[peer, b"\xe0\0\0\xfb", port]]]))),
        ("IPv4 inside IPv6", sealed(canonical([1, "main", [[peer, bytes(10) + b"\xff\xff\1\2\3\4", port]]]))),
        ("an address of 5 bytes", sealed(canonical([1, "main", [[peer, bytes(5), port]]]))),
        ("a short peer id", sealed(canonical([1, "main", [[b"x", ip, port]]]))),
        ("a field too many", sealed(canonical([1, "main", [contact], 0]))),
        ("a map", sealed(canonical({"v": 1}))),
        (
            "an integer that is not in its shortest form",
            sealed(b"\x83\x18\x01" + canonical([1, "main", [contact]])[2:]),
        ),
        ("bytes behind its contents", sealed(canonical([1, "main", [contact]]) + b"\0")),
    ]


def _refused_join_string(why: str, text: str) -> object:
    try:
        Invitation.parse(text)
    except InvalidValue:
        return {"why": why, "text": text}
    raise ValueError(f"{why}: this join string is accepted")


def _lists() -> tuple[BootstrapList, ...]:
    return (
        BootstrapList(network="main", issued=ISSUED, expires=ISSUED + 1, contacts=()),
        BootstrapList(
            network="main",
            issued=ISSUED,
            expires=ISSUED + 90 * 86_400,
            contacts=(
                Contact(peer=_peer("a"), address=Address("192.0.2.7", 7311)),
                Contact(address=Address("2001:db8::7", 443)),
            ),
        ),
    )


def _list(one: BootstrapList) -> object:
    return {
        "network": one.network,
        "issued": one.issued,
        "expires": one.expires,
        "contacts": [str(contact) for contact in one.contacts],
        "list": one.sign(SIGNER).hex(),
    }


def _signed(body: bytes, signer: Identity = SIGNER, context: str = CONTEXT) -> bytes:
    return canonical([1, body, signer.public_key, signer.sign(context, body)])


def _spoiled_lists() -> list[tuple[str, bytes]]:
    good = _lists()[1]
    data, body = good.sign(SIGNER), canonical(["main", ISSUED, ISSUED + 1, []])
    contact = pack(good.contacts[0])
    return [
        ("nothing", b""),
        ("another key", good.sign(OTHER)),
        (
            "the pinned key, signed by another",
            canonical([1, body, SIGNER.public_key, OTHER.sign(CONTEXT, body)]),
        ),
        ("signed for another purpose", _signed(body, context="lamella-vector/1")),
        ("a byte of the body changed", data.replace(b"\xc0\x00\x02\x07", b"\xc0\x00\x02\x08")),
        ("a byte too many", data + b"\0"),
        ("a byte missing", data[:-1]),
        ("a later version", canonical([2, body, SIGNER.public_key, SIGNER.sign(CONTEXT, body)])),
        ("expires before it was issued", _signed(canonical(["main", ISSUED, ISSUED, []]))),
        ("holds for ten years", _signed(canonical(["main", ISSUED, ISSUED + 3_650 * 86_400, []]))),
        ("a contact twice", _signed(canonical(["main", ISSUED, ISSUED + 1, [contact, contact]]))),
        ("a body that is no array", _signed(canonical({}))),
        (
            "times that are not in their shortest form",
            _signed(dumps(["main", 1, 2, []]).replace(b"\x01\x02\x80", b"\x18\x01\x02\x80")),
        ),
        ("a network that is a number", _signed(canonical([1, ISSUED, ISSUED + 1, []]))),
    ]


def _refused_list(why: str, data: bytes) -> object:
    try:
        BootstrapList.read(data, SIGNER.public_key)
    except (BadMessage, BadSignature, InvalidValue):
        return {"why": why, "list": data.hex()}
    raise ValueError(f"{why}: this list is accepted")
