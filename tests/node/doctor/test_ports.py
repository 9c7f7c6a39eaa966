"""A port that a host could not have is told with who has it; one that our own host has is well."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from node.doctor import ports
from node.doctor.finding import Verdict
from node.doctor.host import Heard, Host
from node.doctor.ports import Taken
from tests.fakes.control import STATUS
from wire.types import Address

NOBODY = Path("/nonexistent/control.sock")


class HeardHost(Host):
    """A host that takes links at the address of `STATUS`."""

    async def heard(self) -> Heard:
        return Heard(status=STATUS)


def taken(code: int) -> ports.Try:
    return lambda address: [Taken(address=address, udp=False, code=code, holder=None)]


async def test_a_free_address_is_well_and_stays_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    found = await ports.look([Address("127.0.0.1", port)], Host(NOBODY))
    assert found.verdict is Verdict.OK
    assert ports.tried(Address("127.0.0.1", port)) == []


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_a_taken_one_is_a_problem_that_names_who_has_it(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen(1)
        address = Address("127.0.0.1", other.getsockname()[1])
        found = await ports.look([address], Host(NOBODY))
    assert found.verdict is Verdict.PROBLEM
    assert f"process {os.getpid()}" in found.found
    assert ("UDP" in found.found) is (kind == socket.SOCK_DGRAM)


async def test_an_address_that_our_own_host_has_is_not_tried() -> None:
    found = await ports.look([Address("127.0.0.1", 7311)], HeardHost(), taken(errno.EADDRINUSE))
    assert found.verdict is Verdict.OK
    assert "running host" in found.found


async def test_the_usual_port_being_taken_is_only_a_warning() -> None:
    found = await ports.look([], Host(NOBODY), taken(errno.EADDRINUSE))
    assert found.verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("code", "fix"), [(errno.EACCES, "1024"), (errno.EADDRNOTAVAIL, "ip address"), (errno.EIO, "--listen")]
)
async def test_each_reason_has_its_fix(code: int, fix: str) -> None:
    found = await ports.look([], Host(NOBODY), taken(code))
    assert found.verdict is Verdict.PROBLEM
    assert fix in (found.fix or "")
