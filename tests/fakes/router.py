"""A router on loopback that speaks PCP, NAT-PMP and UPnP IGD, well or badly, and keeps its mappings in a dict."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from node.reach.gateway import Gateway

LOOPBACK = Gateway(ip="127.0.0.1", interface="lo", own_ip="127.0.0.1")
EXTERNAL = "198.51.100.7"
KIND = "urn:schemas-upnp-org:service:WANIPConnection:1"

DESCRIPTION = f"""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:x:device:InternetGatewayDevice:1</deviceType>
<deviceList><device><deviceList><device><serviceList><service><serviceType>{KIND}</serviceType>
<controlURL>/ctl/IPConn</controlURL></service></serviceList></device></deviceList></device></deviceList>
</device></root>"""


def envelope(inner: str) -> bytes:
    """A SOAP answer."""
    start = '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    return f"{start}{inner}</s:Body></s:Envelope>".encode()


def fault(code: int) -> bytes:
    """A SOAP fault with a UPnP error code."""
    return envelope(
        "<s:Fault><faultcode>s:Client</faultcode><detail><UPnPError>"
        f"<errorCode>{code}</errorCode></UPnPError></detail></s:Fault>"
    )


class FakeRouter:
    """What it was asked and what it holds."""

    def __init__(self) -> None:
        self.speaks: set[str] = {"PCP", "NAT-PMP", "UPnP"}
        self.lifetime_s = 600
        self.external = EXTERNAL
        self.mappings: dict[tuple[str, int], int] = {}
        """(protocol, external port) to internal port."""
        self.asked: list[str] = []
        self.taken: set[int] = set()
        """External ports that another machine holds."""
        self.only_permanent = False
        self.leases: list[int] = []
        self.mangle: Callable[[bytes], bytes] = lambda answer: answer
        """What becomes of every datagram it answers."""
        self.description = DESCRIPTION.encode()
        self.location = ""
        self.http: Callable[[str, bytes], bytes] | None = None
        """Replaces the web server."""
        self.udp_port = 0
        self.ssdp_port = 0
        self.news = asyncio.Event()
        self._nonces: dict[tuple[str, int], bytes] = {}

    def datagram(self, data: bytes) -> bytes | None:
        """Answer a PCP or NAT-PMP request."""
        if data[0] == 2:
            answer = self._pcp(data)
        elif "NAT-PMP" in self.speaks:
            answer = self._nat_pmp(data)
        else:
            return None
        self.news.set()
        return None if answer is None else self.mangle(answer)

    def _pcp(self, data: bytes) -> bytes | None:
        if "PCP" not in self.speaks:
            return struct.pack(">BBHI", 0, 128, 1, 7) if "NAT-PMP" in self.speaks else None
        lifetime = struct.unpack_from(">I", data, 4)[0]
        nonce, number, internal, external, _ = struct.unpack_from(">12sB3xHH16s", data, 24)
        protocol = {6: "TCP", 17: "UDP"}[number]
        self.asked.append(f"PCP {protocol} {lifetime}")
        key = protocol, internal
        if self._nonces.setdefault(key, nonce) != nonce:
            return struct.pack(">BBBBII12s", 2, 0x81, 0, 2, 0, 7, b"") + data[24:60]
        granted, port = self._hold(protocol, internal, external, lifetime)
        packed = bytes(10) + b"\xff\xff" + socket.inet_aton(self.external)
        head = struct.pack(">BBBBII12s", 2, 0x81, 0, 0, granted, 7, b"")
        return head + struct.pack(">12sB3xHH16s", nonce, number, internal, port, packed)

    def _nat_pmp(self, data: bytes) -> bytes:
        if data[1] == 0:
            self.asked.append("NAT-PMP address")
            return struct.pack(">BBHI4s", 0, 128, 0, 7, socket.inet_aton(self.external))
        protocol = {1: "UDP", 2: "TCP"}[data[1]]
        internal, external, lifetime = struct.unpack_from(">HHI", data, 4)
        self.asked.append(f"NAT-PMP {protocol} {lifetime}")
        granted, port = self._hold(protocol, internal, external, lifetime)
        return struct.pack(">BBHIHHI", 0, 128 + data[1], 0, 7, internal, port, granted)

    def _hold(self, protocol: str, internal: int, external: int, lifetime: int) -> tuple[int, int]:
        if not lifetime:
            for key in [
                one for one, port in self.mappings.items() if one[0] == protocol and port == internal
            ]:
                del self.mappings[key]
            return 0, 0
        port = external
        while port in self.taken:
            port += 1
        self.mappings[protocol, port] = internal
        return min(lifetime, self.lifetime_s), port

    def web(self, head: str, body: bytes) -> bytes:
        """Answer a request to the web server with a whole HTTP answer."""
        if self.http is not None:
            return self.http(head, body)
        status, answer = self._web(head, body.decode())
        self.news.set()
        return f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer

    def _web(self, head: str, body: str) -> tuple[int, bytes]:
        if head.startswith("GET /desc.xml"):
            return 200, self.description
        action = re.search(r"#(\w+)", head)
        name = action[1] if action else "?"
        values = dict(re.findall(r"<(New\w+)>([^<]*)</", body))
        self.asked.append(f"UPnP {name}")
        if name == "GetExternalIPAddress":
            return 200, envelope(f"<u:R><NewExternalIPAddress>{self.external}</NewExternalIPAddress></u:R>")
        key = values["NewProtocol"], int(values["NewExternalPort"])
        if name == "DeletePortMapping":
            return (200, envelope("<u:R/>")) if self.mappings.pop(key, None) else (500, fault(714))
        lease = int(values["NewLeaseDuration"])
        if self.only_permanent and lease:
            return 500, fault(725)
        if key[1] in self.taken:
            return 500, fault(718)
        self.leases.append(lease)
        self.mappings[key] = int(values["NewInternalPort"])
        return 200, envelope("<u:R/>")

    def search(self, data: bytes) -> bytes | None:
        """Answer an SSDP search."""
        if "UPnP" not in self.speaks or b"M-SEARCH" not in data:
            return None
        kind = re.search(rb"\nST: (\S+)", data)
        return (
            f"HTTP/1.1 200 OK\r\nST: {kind[1].decode() if kind else ''}\r\n"
            f"EXT:\r\nLOCATION: {self.location}\r\nUSN: uuid:1\r\n\r\n"
        ).encode()


class _Answering(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        answer = self._answer(data)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def router() -> AsyncIterator[FakeRouter]:
    """A router that answers until the end of the block."""
    fake = FakeRouter()
    loop = asyncio.get_running_loop()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"Content-Length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        writer.write(fake.web(head, body))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    fake.location = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/desc.xml"
    transports = []
    for attribute, answer in (("udp_port", fake.datagram), ("ssdp_port", fake.search)):
        transport, _ = await loop.create_datagram_endpoint(
            # A default binds the loop's value.
            lambda answer=answer: _Answering(answer),  # type: ignore[misc]
            local_addr=("127.0.0.1", 0),
        )
        setattr(fake, attribute, transport.get_extra_info("sockname")[1])
        transports.append(transport)
    try:
        yield fake
    finally:
        for transport in transports:
            transport.close()
        server.close()
        await server.wait_closed()
