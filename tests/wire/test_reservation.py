"""A reservation is good for one host, one time and one relay."""

from __future__ import annotations

import pytest

from crypto.errors import BadSignature
from crypto.identity import Identity
from wire.reservation import sign_reservation, verify_reservation

RELAY, HOST, OTHER = (Identity.from_seed(bytes((one,)) * 32) for one in (1, 2, 3))


def test_a_reservation_is_verified_with_the_relays_key() -> None:
    verify_reservation(RELAY.public_key, HOST.peer_id, 9, sign_reservation(RELAY, HOST.peer_id, 9))


def test_it_is_good_for_nothing_else() -> None:
    signature = sign_reservation(RELAY, HOST.peer_id, 9)
    for key, host, expires in (
        (OTHER.public_key, HOST.peer_id, 9),
        (RELAY.public_key, OTHER.peer_id, 9),
        (RELAY.public_key, HOST.peer_id, 10),
    ):
        with pytest.raises(BadSignature):
            verify_reservation(key, host, expires, signature)
