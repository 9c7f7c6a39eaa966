"""A client's links and roads begin together, hand on what is not theirs, and end together."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.driver import ClientOptions
from chat.swarm import Swarm
from crypto.identity import Identity
from node.discovery.errors import BootstrapRefused
from node.transport.link import Link
from tests.fakes.asked_hosts import AskedHost
from tests.fakes.deadline import until
from wire.codes import Code
from wire.contacts import Contact
from wire.messages.base import Message
from wire.messages.hosting import Describe
from wire.messages.relay import RelayNo
from wire.messages.session import Close
from wire.types import SessionId

ME = Identity.from_seed(b"m" * 32)
CLOSE = Close(session=SessionId(bytes(16)))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def test_what_is_not_about_the_swarm_is_handed_on_and_hosts_are_remembered() -> None:
    host = AskedHost(1)
    heard: list[Message] = []
    ended: list[Code] = []

    def on_message(_: Link, message: Message) -> None:
        heard.append(message)

    def on_closed(_link: Link, code: Code, _detail: str) -> None:
        ended.append(code)

    contact = Contact(peer=host.peer_id, address=await host.listen())
    options = ClientOptions(model="pocket", contacts=(contact,), dht=False)
    swarm = Swarm(ME, options, on_message=on_message, on_closed=on_closed)
    await swarm.open()
    assert [one.said.peer for one in await swarm.hosts.reach()] == [host.peer_id]
    (link,) = host.pool.links.values()
    link.send(RelayNo(code=Code.NO_RELAY, detail="nobody asked"))
    link.send(CLOSE)
    await until(lambda: heard)
    assert [one for one in heard if not isinstance(one, RelayNo)] == [CLOSE]
    assert Describe() in host.heard
    await host.close()
    await until(lambda: ended)
    await swarm.close()
    await swarm.close()

    again = Swarm(ME, ClientOptions(model="pocket", contacts=(), dht=False))
    await again.open()
    assert [one.contacts for one in again._roads.somebody()] == [(contact,)]
    await again.close()


async def test_what_was_asked_for_and_cannot_be_used_is_told(tmp_path: Path) -> None:
    swarm = Swarm(ME, ClientOptions(model="pocket", contacts=(), dht=False, bootstrap=tmp_path / "none"))
    with pytest.raises(BootstrapRefused, match="cannot be read"):
        await swarm.open()
    await swarm.close()
