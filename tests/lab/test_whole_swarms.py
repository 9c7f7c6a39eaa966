"""Whole swarms of real programs on networks of their own: nobody is configured, and everybody finds everybody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fakes import hosts
from tests.fakes.hosts import HostOptions
from tests.lab.namespaces import SYMMETRIC, lab, miniupnpd, needs
from tests.lab.programs import addresses, swarm, tiny_model
from wire.types import Address

pytestmark = needs()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can be spoken with."""
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def expected(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one host that has everything answers."""
    with lab() as built, swarm(tmp_path_factory.mktemp("whole"), tiny) as made:
        (alone,) = built.lan(1)
        host = made.host(alone, "1:5")
        host.wait_for("ready")
        return made.ask(alone, "--peer", f"{alone.ip}:7311")


def test_on_a_local_network_nobody_needs_to_be_told_anything(
    tmp_path: Path, tiny: Path, expected: str
) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        one, other, stranger, client = built.lan(4)
        first, second = made.host(one, "1:3"), made.host(other, "3:5")
        foreign = made.host(stranger, "1:5", "--network", "other")
        for host in (first, second, foreign):
            host.wait_for("ready")
        assert made.ask(client) == expected
        assert addresses(made.peers(client, 2)) == [f"{one.ip}:7311", f"{other.ip}:7311"]
        # Nobody of one network is seen from the other.
        assert addresses(made.peers(client, 1, "--network", "other")) == [f"{stranger.ip}:7311"]

        # A cable is pulled and put back; everybody finds everybody again.
        other.command("ip", "link", "set", "eth0", "down")
        failure = made.failure(client)
        assert failure["error"] in ("NoRoute", "HostUnreachable"), failure
        assert "3:5" in failure["message"] or "announced" in failure["message"], failure
        other.command("ip", "link", "set", "eth0", "up")
        made.peers(client, 2)
        assert made.ask(client) == expected
        assert first.running and second.running


def test_hosts_and_clients_behind_routers_that_let_nobody_in_meet_by_a_relay(
    tmp_path: Path, tiny: Path, expected: str
) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        public, left, right = built.public(), built.home(SYMMETRIC), built.home(SYMMETRIC)
        known = ("--peer", f"{public.ip}:7311")
        relay = made.host(public, "1:2", "--relay")
        hidden = made.host(left.host, "2:5", *known)
        for host in (relay, hidden):
            host.wait_for("ready")
        peers = made.peers(right.host, 2, *known)
        relayed = f"{public.ip}:7311/via/{relay.peer_id}"
        assert addresses(peers) == [f"{public.ip}:7311", relayed]
        assert made.ask(right.host, *known) == expected


@pytest.mark.skipif(shutil.which("miniupnpd") is None, reason="miniupnpd is not installed")
def test_a_host_behind_a_willing_router_is_reached_from_outside(
    tmp_path: Path, tiny: Path, expected: str
) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        public, home, far = built.public(), built.home(), built.public()
        with miniupnpd(home, tmp_path):
            first = made.host(public, "1:3")
            options = HostOptions(
                listen=None, place=made.place(home.host, "home"), more=("--peer", f"{public.ip}:7311")
            )
            second = hosts.start(tmp_path / "id-home", tiny, "3:5", options)
            made.started.append(second)
            for host in (first, second):
                host.wait_for("ready")
            peers = made.peers(far, 2, "--peer", f"{public.ip}:7311")
            assert addresses(peers) == [f"{public.ip}:7311", f"{home.router.ip}:7311"]
            assert made.ask(far, "--peer", f"{public.ip}:7311") == expected
            second.end()
            assert str(Address(home.router.ip, 7311)) not in addresses(
                made.peers(far, 1, "--peer", f"{public.ip}:7311")
            )
