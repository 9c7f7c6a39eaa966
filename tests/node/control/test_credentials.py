"""Who is at the other end is told by the system, or nobody is believed."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from node.control.credentials import PeerProcess, parse_ucred, parse_xucred, read_peer
from node.control.errors import CredentialsUnknown


class Deaf:
    """A socket of a system that answers no such question."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        raise OSError(92, "Protocol not available")


def test_both_ends_of_a_pair_are_this_process() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert read_peer(one) == PeerProcess(os.geteuid(), os.getpid())


@pytest.mark.parametrize("platform", ["linux", "darwin", "sunos5"])
def test_a_system_that_does_not_tell_is_refused(platform: str) -> None:
    with pytest.raises(CredentialsUnknown, match="does not tell which user"):
        read_peer(Deaf(), platform)


def test_a_linux_answer_is_read() -> None:
    assert parse_ucred(struct.pack("=iII", 12, 1000, 1000)) == PeerProcess(1000, 12)
    assert parse_ucred(struct.pack("=iII", 0, 65534, 65534)) == PeerProcess(65534, None)


@pytest.mark.parametrize("data", [b"", bytes(11), struct.pack("=iII", 0, 0xFFFFFFFF, 0)])
def test_a_linux_answer_without_a_user_is_refused(data: bytes) -> None:
    with pytest.raises(CredentialsUnknown):
        parse_ucred(data)


def test_a_macos_answer_is_read() -> None:
    assert parse_xucred(struct.pack("=IIh16I", 0, 501, 1, *range(16))) == PeerProcess(501, None)


@pytest.mark.parametrize("data", [b"", bytes(7), struct.pack("=II", 1, 501)])
def test_a_macos_answer_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(CredentialsUnknown):
        parse_xucred(data)


@pytest.mark.parametrize(
    ("uid", "own", "control", "answer"),
    [(1000, 1000, True, True), (0, 1000, True, True), (1001, 1000, False, False), (1000, 0, False, True)],
)
def test_the_same_user_and_root_are_let_in_and_root_may_ask_anybody(
    uid: int, own: int, control: bool, answer: bool
) -> None:
    peer = PeerProcess(uid, None)
    assert (peer.may_control(own), peer.may_answer(own)) == (control, answer)
