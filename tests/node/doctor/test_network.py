"""The way out is read from the system, the way in is what a running host says; nothing is sent."""

from __future__ import annotations

from pathlib import Path

from node.doctor import network
from node.doctor.finding import Verdict
from node.doctor.host import Heard, Host
from node.reach.gateway import Gateway
from tests.fakes.control import STATUS

NOBODY = Path("/nonexistent/control.sock")
HOME = Gateway(ip="192.168.1.1", interface="eth0", own_ip="192.168.1.7")


class HeardHost(Host):
    async def heard(self) -> Heard:
        return Heard(status=STATUS)


async def test_no_gateway_is_a_warning_with_what_still_works() -> None:
    found = await network.look(Host(NOBODY), list)
    assert found.verdict is Verdict.WARNING
    assert "local network" in (found.fix or "")


async def test_a_private_address_is_said_to_need_the_router() -> None:
    found = await network.look(Host(NOBODY), lambda: [HOME])
    assert found.verdict is Verdict.OK
    assert "private" in found.found
    assert "running host only" in found.found
    public = Gateway(ip="1.1.1.1", interface="eth0", own_ip="1.2.3.4")
    assert "private" not in (await network.look(Host(NOBODY), lambda: [public])).found


async def test_a_running_host_is_believed_on_the_way_in() -> None:
    found = await network.look(HeardHost(), lambda: [HOME])
    assert STATUS.reachability in found.found
    assert found.facts["links"] == STATUS.links
