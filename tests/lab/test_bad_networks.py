"""What goes wrong on networks is named in one sentence with the next step, and hosts go on with whom they can reach."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fakes.hosts import Host
from tests.lab.namespaces import lab, needs
from tests.lab.programs import SEEN_S, addresses, swarm, tiny_model

pytestmark = needs()

_NOBODY_COMES_IN = """
table inet filter {
    chain input {
        type filter hook input priority 0
        ip daddr 224.0.0.0/4 accept
        ct state new drop
    }
}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can be spoken with."""
    return tiny_model(tmp_path_factory.mktemp("models"))


def hears(host: Host, words: str) -> None:
    """Wait until a host has said this on standard error."""
    until = time.monotonic() + SEEN_S
    while words not in host.stderr:
        assert host.running and time.monotonic() < until, host.stderr
        time.sleep(0.05)


def test_without_any_network_a_host_starts_says_so_and_goes_on_once_there_is_one(
    tmp_path: Path, tiny: Path
) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        one, client = built.lan(2)
        one.command("ip", "link", "set", "eth0", "down")
        host = made.host(one, "1:5", "--peer", f"{client.ip}:7311")
        host.wait_for("ready")
        hears(host, "this machine has no network; connect it")
        assert "no peer" in made.failure(client)["message"].lower()
        one.command("ip", "link", "set", "eth0", "up")
        assert len(made.peers(client, 1)) == 1


def test_an_address_that_changes_is_noticed_and_announced(tmp_path: Path, tiny: Path) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        one, other, client = built.lan(3)
        moves, stays = made.host(one, "1:3"), made.host(other, "3:5")
        for host in (moves, stays):
            host.wait_for("ready")
        answer = made.ask(client)
        before = addresses(made.peers(client, 2))
        one.command("ip", "address", "delete", f"{one.ip}/24", "dev", "eth0")
        one.command("ip", "address", "add", "192.168.1.77/24", "dev", "eth0")
        hears(moves, "peers reach this host at 192.168.1.77:7311")
        assert addresses(made.peers(client, 2)) == [
            address.replace(f"{one.ip}:", "192.168.1.77:") for address in reversed(before)
        ]
        assert made.ask(client) == answer


def test_a_port_that_is_blocked_is_told_with_the_next_step(tmp_path: Path, tiny: Path) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        one, other, _ = built.lan(3)
        one.command("nft", "-f", "-", text=_NOBODY_COMES_IN)
        blocked, free = made.host(one, "1:3", "--peer", f"{other.ip}:7311"), made.host(other, "3:5")
        for host in (blocked, free):
            host.wait_for("ready")
        hears(blocked, "no peer reaches this host (nothing comes through the firewall or router)")
        hears(blocked, "forward TCP and UDP port 7311")
        assert "Traceback" not in blocked.stderr + free.stderr


def test_two_machines_with_one_identity_are_told(tmp_path: Path, tiny: Path) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        machines = built.lan(2)
        shared = tmp_path / "shared"
        twins = [made.host(machines[0], "1:3", identity=shared)]
        twins[0].wait_for("ready")
        twins.append(made.host(machines[1], "3:5", identity=shared))
        for twin, other in zip(twins, reversed(machines), strict=True):
            hears(twin, f"another host, at {other.ip}:7311, announces itself with this one's identity")


def test_a_contact_that_is_someone_else_now_is_named_and_others_are_served(
    tmp_path: Path, tiny: Path
) -> None:
    with lab() as built, swarm(tmp_path, tiny) as made:
        one, other, client = built.lan(3)
        first = made.host(one, "1:5", "--no-lan")
        first.wait_for("ready")
        known = f"{first.peer_id}@{other.ip}:7311"
        second = made.host(other, "1:5", "--peer", f"{one.ip}:7311", "--peer", known, "--no-lan")
        second.wait_for("ready")
        third = made.host(client, "1:5", "--peer", known, "--no-lan")
        third.wait_for("ready")
        hears(third, "is someone else now; ask its owner for the new peer id")
        # Who asks by that contact is told, too, or served by others that are found.
        failure = made.failure(client, "--no-lan", "--no-dht", "--peer", known)
        assert "not the peer that was meant" in failure["message"]
        assert made.ask(client, "--no-lan", "--peer", known, "--peer", f"{other.ip}:7311")
