"""Peers on the local network, by multicast DNS: announce this one, hear of others, notice when interfaces change.

The `zeroconf` library speaks RFC 6762; everything it hands on was written by anybody on the network, and is checked
and counted here before it becomes a contact. Spec: `specs/discovery.md` §Local networks.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from crypto.identity import PeerId
from node.discovery.interfaces import LocalAddress, local_addresses, on_local_network, takes_multicast
from node.discovery.scope import plain
from wire.contacts import Contact
from wire.errors import BadMessage, InvalidValue
from wire.lan import SERVICE, LanText
from wire.networks import network_tag
from wire.types import Address

SERVICE_TYPE: Final = f"{SERVICE}.local."
MAX_SERVICES: Final = 256
"""Security limit: announcements that are known at once; names are free for who floods."""
MAX_ADDRESSES: Final = 8
"""Security limit: addresses of one announcement, ours included."""
RESOLVERS: Final = 4
"""Announcements that are looked up at once."""
RESOLVE_S: Final = 3.0
"""How long the facts of one announcement are waited for."""
REGISTER_S: Final = 5.0
"""How long our own announcement may take to go out."""
CLOSE_S: Final = 2.0
"""How long a goodbye may take."""
WATCH_S: Final = 5.0
"""How often the interfaces are looked at."""
RETRY_S: Final = 15.0
"""How long after multicast failed it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What this process says of itself."""

    peer: PeerId
    listen: Address
    """Where links are taken; with an unspecified address, at all addresses of its version (`::`: of both)."""
    token: str
    """Makes the announcement's name unique: 8 to 48 random letters and digits."""


class Lan:
    """The local network's peers, as long as `run` runs."""

    def __init__(
        self,
        network: str,
        *,
        found: Callable[[Contact], None],
        gone: Callable[[Contact], None],
        announced: Announced | None = None,
        addresses: Callable[[], frozenset[LocalAddress]] = local_addresses,
        watch_s: float = WATCH_S,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            network: only peers of this network are found.
            found, gone: called on the event loop with each contact once it is announced, and once it no longer is.
            announced: None to listen only.
            addresses: the interfaces to use; may block.
        """
        self.trouble: str | None = None
        """Why nobody can be found this way at the moment; None when all is well."""
        self._tag = network_tag(network)
        self._found, self._gone = found, gone
        self._announced = announced
        self._addresses = addresses
        self._watch_s = watch_s
        self._known: dict[str, tuple[Contact, ...]] = {}
        self._names: Counter[Contact] = Counter()
        """How many announcements stand for each contact."""
        self._queue: asyncio.Queue[str] = asyncio.Queue(MAX_SERVICES)

    @property
    def instance(self) -> str | None:
        """The full name of our own announcement."""
        return None if self._announced is None else f"lamella-{self._announced.token}.{SERVICE_TYPE}"

    async def run(self) -> None:
        """Announce and listen until cancelled; begin anew whenever the interfaces change."""
        while True:
            pause_s = 0.0
            try:
                local = await asyncio.to_thread(self._addresses)
                if local:
                    await self._while_unchanged(local)
                else:
                    self.trouble = "this machine has no network; connect it, the search goes on by itself"
                    pause_s = self._watch_s
            except* (OSError, RuntimeError, zeroconf.Error) as group:
                # In the system's or the library's words for kinds of failure, never in what a peer sent.
                self.trouble = (
                    f"peers on the local network cannot be looked for ({_first(group)}); "
                    "check that UDP port 5353 is not blocked, or name peers with --peer"
                )
                pause_s = RETRY_S
            finally:
                self._forget_all()
            await asyncio.sleep(pause_s)

    async def _while_unchanged(self, local: frozenset[LocalAddress]) -> None:
        """Announce and listen on these interfaces until they are others."""
        able = await asyncio.to_thread(_able, local)
        if not able:
            raise OSError(errno.EOPNOTSUPP, "no interface takes multicast")
        mdns = AsyncZeroconf(interfaces=_for_library(able), ip_version=_versions(able))
        try:
            async with asyncio.timeout(REGISTER_S):
                await mdns.zeroconf.async_wait_for_start()
            async with (
                AsyncServiceBrowser(mdns.zeroconf, SERVICE_TYPE, handlers=[self._changed]),
                asyncio.TaskGroup() as tasks,
            ):
                workers = [tasks.create_task(self._resolve(mdns, local)) for _ in range(RESOLVERS)]
                await self._announce(mdns, local)
                self.trouble = None
                await self._until_not(local)
                for one in workers:
                    one.cancel()
        finally:
            with suppress(TimeoutError, OSError, zeroconf.Error):
                async with asyncio.timeout(CLOSE_S):
                    await mdns.async_close()

    async def _until_not(self, local: frozenset[LocalAddress]) -> None:
        while True:
            await asyncio.sleep(self._watch_s)
            if await asyncio.to_thread(self._addresses) != local:
                return

    async def _announce(self, mdns: AsyncZeroconf, local: Collection[LocalAddress]) -> None:
        if self._announced is None or self.instance is None:
            return
        ips = announced_ips(self._announced.listen, local)
        if not ips:
            return
        info = AsyncServiceInfo(
            SERVICE_TYPE,
            self.instance,
            port=self._announced.listen.port,
            properties=LanText(peer=self._announced.peer, network=self._tag).encode(),
            server=f"lamella-{self._announced.token}.local.",
            parsed_addresses=ips,
        )
        async with asyncio.timeout(REGISTER_S):
            # The token makes the name unique, so the half second of asking whether it is taken is saved.
            await (await mdns.async_register_service(info, cooperating_responders=True))

    def _changed(self, name: str, state_change: zeroconf.ServiceStateChange, **_: object) -> None:
        """Take note of what the library heard; called on the event loop, with more that is not needed here."""
        if name == self.instance:
            return
        if state_change is zeroconf.ServiceStateChange.Removed:
            self._replace(name, ())
        elif (name in self._known or len(self._known) < MAX_SERVICES) and not self._queue.full():
            self._queue.put_nowait(name)

    async def _resolve(self, mdns: AsyncZeroconf, local: Collection[LocalAddress]) -> None:
        """Look up what was announced, one after the other."""
        while True:
            name = await self._queue.get()
            with suppress(zeroconf.Error, ValueError):
                info = AsyncServiceInfo(SERVICE_TYPE, name)
                if await info.async_request(mdns.zeroconf, RESOLVE_S * 1000):
                    self._replace(name, contacts_of(info, self._tag, local))

    def _replace(self, name: str, contacts: tuple[Contact, ...]) -> None:
        """Take the contacts that a name has come to stand for. Another name may stand for the same ones."""
        before = self._known.pop(name, ())
        if not contacts or len(self._known) >= MAX_SERVICES:
            contacts = ()
        else:
            self._known[name] = contacts
        for one in contacts:
            self._names[one] += 1
            if self._names[one] == 1:
                self._found(one)
        for one in before:
            self._names[one] -= 1
            if not self._names[one]:
                del self._names[one]
                self._gone(one)

    def _forget_all(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()
        for name in list(self._known):
            self._replace(name, ())


def contacts_of(
    info: AsyncServiceInfo, network: bytes, local: Collection[LocalAddress]
) -> tuple[Contact, ...]:
    """Return what an announcement says, as far as it may be believed; nothing when it is of another network.

    Args:
        network: the tag of ours.
        local: the addresses of the interfaces it came by.
    """
    try:
        text = LanText.decode(info.properties)
    except BadMessage:
        return ()
    if text.network != network:
        return ()
    found: dict[Contact, None] = {}
    for ip in info.parsed_scoped_addresses()[: 4 * MAX_ADDRESSES]:
        try:
            address = plain(Address.parse(f"[{ip}]:{info.port}"))
            contact = Contact(peer=text.peer, address=address)
        except InvalidValue:
            continue
        if on_local_network(address, local):
            found[contact] = None
    return tuple(found)[:MAX_ADDRESSES]


def announced_ips(listen: Address, local: Collection[LocalAddress]) -> list[str]:
    """Return the addresses to announce for links taken at `listen`, those that reach farthest first."""
    asked = ipaddress.ip_address(listen.ip)
    if asked.is_unspecified:
        fitting = [one for one in local if asked.version == 6 or not one.is_ipv6]
    else:
        fitting = [one for one in local if one.ip == listen.ip.partition("%")[0]]
    ordered = sorted(fitting, key=lambda one: (-one.scope, one.is_ipv6, one))
    return list(dict.fromkeys(one.ip for one in ordered))[:MAX_ADDRESSES]


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    """What went wrong first: the system's words, or the name of its kind."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _able(local: Collection[LocalAddress]) -> frozenset[LocalAddress]:
    """Those the library can use; one that it cannot makes it give up all."""
    return frozenset(one for one in local if takes_multicast(one))


def _for_library(local: Collection[LocalAddress]) -> list[str | int]:
    """IPv4 interfaces by address, IPv6 ones by number, as `zeroconf` takes them."""
    fours: list[str | int] = sorted(one.ip for one in local if not one.is_ipv6)
    sixes = {one.index for one in local if one.is_ipv6 and one.index}
    return [*fours, *sorted(sixes)]


def _versions(local: Collection[LocalAddress]) -> zeroconf.IPVersion:
    sixes = {one.is_ipv6 for one in local}
    if sixes == {True, False}:
        return zeroconf.IPVersion.All
    return zeroconf.IPVersion.V6Only if True in sixes else zeroconf.IPVersion.V4Only
