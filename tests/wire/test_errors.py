"""The tree of errors: whose fault, and which code the peer is told."""

from __future__ import annotations

import pytest

from wire.codes import Code
from wire.errors import (
    BadFrame,
    BadMessage,
    IllegalState,
    InvalidValue,
    LocalError,
    PeerRefused,
    RemoteError,
    WireError,
)


@pytest.mark.parametrize(("kind", "code"), [(BadFrame, Code.BAD_FRAME), (BadMessage, Code.BAD_MESSAGE)])
def test_a_peers_error_names_the_code_it_is_told(kind: type[BadFrame | BadMessage], code: Code) -> None:
    error = kind("what was wrong")
    assert (error.code, error.detail, str(error)) == (code, "what was wrong", "what was wrong")
    assert kind("too long", code=Code.TOO_LARGE).code is Code.TOO_LARGE


def test_a_refused_peer_always_has_a_code_of_its_own() -> None:
    assert PeerRefused("another peer", code=Code.WRONG_PEER).code is Code.WRONG_PEER
    with pytest.raises(TypeError):
        PeerRefused("another peer")  # type: ignore[call-arg]  # wrong on purpose


@pytest.mark.parametrize("kind", [BadFrame, BadMessage, PeerRefused])
def test_what_a_peer_did_is_never_our_own_error(kind: type[RemoteError]) -> None:
    assert issubclass(kind, RemoteError)
    assert not issubclass(kind, LocalError)


@pytest.mark.parametrize("kind", [InvalidValue, IllegalState])
def test_what_we_did_is_never_told_to_a_peer(kind: type[LocalError]) -> None:
    assert issubclass(kind, LocalError)
    assert issubclass(kind, WireError)
    assert not hasattr(kind("x"), "code")
