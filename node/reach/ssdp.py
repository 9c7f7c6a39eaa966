"""Finding a router's UPnP description (UPnP Device Architecture 1.1 §1.3), as bytes. Pure.

The location it names must be at the router's own address, over plain HTTP, by number: nothing here makes this machine
resolve a name or speak with another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from node.reach.errors import BadAnswer

GROUP: Final = "239.255.255.250"
PORT: Final = 1900
MAX_BYTES: Final = 2_048
"""Security limit: an answer of this kind has a few hundred bytes."""
MAX_PATH_CHARS: Final = 256
_KINDS: Final = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
)
_URL: Final = re.compile(r"http://(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?(/[!-~]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lies on the router's own web server."""

    ip: str
    port: int
    path: str

    def at(self, reference: str) -> Place:
        """Follow a reference from here: a whole URL of the same machine, a path, or a name beside this one.

        Raises:
            BadAnswer: another machine, or a reference that is none.
        """
        if "://" in reference:
            return place(reference, router=self.ip)
        path = reference if reference.startswith("/") else self.path.rpartition("/")[0] + "/" + reference
        return Place(self.ip, self.port, _checked_path(path))


def searches() -> list[bytes]:
    """The questions to send, one for each kind of router."""
    return [
        (
            f"M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}:{PORT}\r\n"
            f'MAN: "ssdp:discover"\r\nMX: 1\r\nST: {kind}\r\n\r\n'
        ).encode("ascii")
        for kind in _KINDS
    ]


def parse(data: bytes, *, router: str) -> Place | None:
    """Return where the router's description lies; None when this is not an answer to us.

    Args:
        data: a datagram that came from the router.
        router: its address.

    Raises:
        BadAnswer: it points elsewhere.
    """
    if len(data) > MAX_BYTES:
        raise BadAnswer("a UPnP search", f"{len(data)} bytes")
    lines = data.decode("latin-1").split("\r\n")
    if not re.match(r"HTTP/1\.[01] 200\b", lines[0]):
        return None
    fields = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    if fields.get("st") not in _KINDS or "location" not in fields:
        return None
    return place(fields["location"], router=router)


def place(url: str, *, router: str) -> Place:
    """Read a URL of the router's own. Raises `BadAnswer`."""
    match = _URL.fullmatch(url) if len(url) <= 2 * MAX_PATH_CHARS else None
    if match is None or match[1] != router:
        raise BadAnswer("a UPnP search", "it leads to another machine")
    port = int(match[2] or 80)
    if not 1 <= port <= 65_535:
        raise BadAnswer("a UPnP search", f"port {port}")
    return Place(match[1], port, _checked_path(match[3] or "/"))


def _checked_path(path: str) -> str:
    if len(path) > MAX_PATH_CHARS or not re.fullmatch(r"/[!-~]*", path, re.ASCII):
        raise BadAnswer("a UPnP search", "its path is none")
    return path
