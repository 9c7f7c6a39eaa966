"""The three ways to ask a router for a mapping, each behind the same two verbs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from node.reach import igd, nat_pmp, pcp, ssdp
from node.reach.datagrams import WAITS_S, Question, ask
from node.reach.errors import BadAnswer, NoAnswer, RouterRefused
from node.reach.gateway import Gateway
from node.reach.http_call import call
from node.reach.igd import Service
from node.reach.ports import Mapped, Wanted, granted
from wire.messages.reach import Transport

_CONFLICT_TRIES: Final = 4
_FREE_PORTS: Final = range(49_152, 65_536)
"""RFC 6335 §6: where a port is drawn when the one that was wanted is taken."""


class Method(Protocol):
    """A way to ask the router."""

    @property
    def name(self) -> str:
        """What to call it to a person."""
        ...

    async def map(self, wanted: Wanted) -> Mapped:
        """Make or renew a mapping. Raises `NoAnswer`, `RouterRefused`, `BadAnswer`."""
        ...

    async def unmap(self, held: Mapped) -> None:
        """Withdraw a mapping. Raises `NoAnswer`, `RouterRefused`, `BadAnswer`."""
        ...


def methods_for(gateway: Gateway) -> list[Method]:
    """What to try with this router, in order. Behind IPv6 only PCP opens ports."""
    if gateway.is_v6:
        return [Pcp(gateway)]
    return [Pcp(gateway), NatPmp(gateway), Upnp(gateway)]


class Pcp:
    """PCP, RFC 6887. The same object renews and withdraws: it keeps the nonces."""

    name = pcp.NAME

    def __init__(self, gateway: Gateway, *, port: int = pcp.PORT, waits_s: Sequence[float] = WAITS_S) -> None:
        self._gateway = gateway
        self._port = port
        self._waits_s = waits_s
        self._nonces: dict[tuple[Transport, int], bytes] = {}
        self._ips: dict[tuple[Transport, int], str] = {}

    async def map(self, wanted: Wanted) -> Mapped:
        mapped = await self._ask(wanted)
        if mapped is None:
            raise BadAnswer(self.name, "it withdrew what was to be made")
        self._ips[wanted.transport, wanted.internal_port] = mapped.external.ip
        return mapped

    async def unmap(self, held: Mapped) -> None:
        await self._ask(_withdrawal(held))
        self._ips.pop((held.transport, held.internal_port), None)

    async def _ask(self, wanted: Wanted) -> Mapped | None:
        key = wanted.transport, wanted.internal_port
        nonce = self._nonces.setdefault(key, secrets.token_bytes(pcp.NONCE_BYTES))
        own_ip = self._gateway.own_ip
        data = await ask(
            Question(
                own_ip=own_ip,
                router=self._gateway.ip,
                port=self._port,
                datagrams=[pcp.request(wanted, nonce=nonce, own_ip=own_ip, suggested_ip=self._ips.get(key))],
                is_answer=lambda answer: pcp.is_answer(answer, nonce=nonce),
            ),
            self._waits_s,
        )
        if data is None:
            raise NoAnswer(self.name)
        return pcp.parse(data, wanted)


class NatPmp:
    """NAT-PMP, RFC 6886."""

    name = nat_pmp.NAME

    def __init__(
        self, gateway: Gateway, *, port: int = nat_pmp.PORT, waits_s: Sequence[float] = WAITS_S
    ) -> None:
        self._gateway = gateway
        self._port = port
        self._waits_s = waits_s

    async def map(self, wanted: Wanted) -> Mapped:
        asked = self._question(nat_pmp.address_request())
        answer = await ask(replace(asked, is_answer=nat_pmp.is_address_answer), self._waits_s)
        if answer is None:
            raise NoAnswer(self.name)
        mapped = await self._ask(wanted, nat_pmp.parse_address(answer))
        if mapped is None:
            raise BadAnswer(self.name, "it withdrew what was to be made")
        return mapped

    async def unmap(self, held: Mapped) -> None:
        await self._ask(_withdrawal(held), held.external.ip)

    async def _ask(self, wanted: Wanted, external_ip: str) -> Mapped | None:
        asked = self._question(nat_pmp.request(wanted))
        answer = await ask(
            replace(asked, is_answer=lambda data: nat_pmp.is_answer(data, wanted)), self._waits_s
        )
        if answer is None:
            raise NoAnswer(self.name)
        return nat_pmp.parse(answer, wanted, external_ip=external_ip)

    def _question(self, data: bytes) -> Question:
        return Question(
            own_ip=self._gateway.own_ip,
            router=self._gateway.ip,
            port=self._port,
            datagrams=[data],
            is_answer=bool,
        )


class Upnp:
    """UPnP IGD: found by SSDP once, then asked over HTTP."""

    name = igd.NAME

    def __init__(
        self, gateway: Gateway, *, port: int = ssdp.PORT, waits_s: Sequence[float] = (1.0, 2.0)
    ) -> None:
        self._gateway = gateway
        self._port = port
        self._waits_s = waits_s
        self._service: Service | None = None

    async def map(self, wanted: Wanted) -> Mapped:
        try:
            service = self._service = self._service or await self._find()
            external_ip = igd.parse_address(*await call(service.control, igd.external_address(service)))
            lease_s, port = wanted.lifetime_s, wanted.external_port
            for _ in range(_CONFLICT_TRIES):
                try:
                    await self._add(service, wanted, port, lease_s)
                except RouterRefused as refused:
                    if refused.code == igd.ONLY_PERMANENT and lease_s:
                        lease_s = 0
                    elif refused.other_port:
                        port = secrets.choice(_FREE_PORTS)
                    else:
                        raise
                else:
                    return granted(wanted, ip=external_ip, port=port, lifetime_s=lease_s, method=self.name)
        except (NoAnswer, BadAnswer):
            # It may have restarted with another description.
            self._service = None
            raise
        raise RouterRefused(self.name, 718, "it has no free port")

    async def unmap(self, held: Mapped) -> None:
        service = self._service = self._service or await self._find()
        request = igd.delete(service, held.transport, external_port=held.external.port)
        try:
            igd.check(*await call(service.control, request))
        except RouterRefused as refused:
            if refused.code != igd.NO_SUCH_ENTRY:
                raise

    async def _add(self, service: Service, wanted: Wanted, port: int, lease_s: int) -> None:
        request = igd.add(
            service,
            wanted.transport,
            external_port=port,
            internal=(self._gateway.own_ip, wanted.internal_port),
            lease_s=lease_s,
        )
        igd.check(*await call(service.control, request))

    async def _find(self) -> Service:
        router = self._gateway.ip
        data = await ask(
            Question(
                own_ip=self._gateway.own_ip,
                router=router,
                port=self._port,
                datagrams=ssdp.searches(),
                is_answer=lambda answer: _is_found(answer, router),
                group=ssdp.GROUP,
            ),
            self._waits_s,
        )
        place = ssdp.parse(data, router=router) if data is not None else None
        if place is None:
            raise NoAnswer(self.name)
        status, body = await call(place, igd.get(place))
        if status != 200:
            raise BadAnswer(self.name, f"HTTP status {status}")
        return igd.service(body, place)


def _is_found(answer: bytes, router: str) -> bool:
    try:
        return ssdp.parse(answer, router=router) is not None
    except BadAnswer:
        return False


def _withdrawal(held: Mapped) -> Wanted:
    return Wanted(
        transport=held.transport,
        internal_port=held.internal_port,
        external_port=held.external.port,
        lifetime_s=0,
    )
