"""UPnP's WANIPConnection and WANPPPConnection services: what is posted to a router and what it answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.reach import strict_xml
from node.reach.errors import BadAnswer, RouterRefused
from node.reach.ports import checked_ip
from node.reach.ssdp import Place
from node.reach.strict_xml import BadXml, Element, escaped
from wire.messages.reach import Transport

NAME: Final = "UPnP"
DESCRIPTION: Final = "lamella"
"""What the router's page calls our mappings."""
_SERVICES: Final = (
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
ONLY_PERMANENT: Final = 725
"""The router's mappings never lapse: a lease of 0 must be asked for."""
NO_SUCH_ENTRY: Final = 714
_CONFLICTS: Final = frozenset({718, 724, 727, 729})
_MEANINGS: Final = {
    402: "malformed request",
    501: "it failed",
    606: "not authorised",
    714: "no such mapping",
    715: "it wants other wildcards",
    716: "it wants an external port",
    718: "another machine has that port",
    724: "it wants equal ports inside and outside",
    725: "only permanent mappings",
    727: "it wants wildcards for the external port",
    728: "no room for another mapping",
    729: "another machine's mapping is in the way",
}


@dataclass(frozen=True, slots=True)
class Service:
    """Where and as what a router takes orders about mappings."""

    kind: str
    control: Place


def service(description: bytes, base: Place) -> Service:
    """Find the service in a router's description. Raises `BadAnswer`."""
    root = _read(description)
    found: dict[str, str] = {}
    for element in root.walk():
        kind, control = element.value("serviceType"), element.value("controlURL")
        if element.name == "service" and kind in _SERVICES and control and kind not in found:
            found[kind] = control
    for kind in _SERVICES:
        if kind in found:
            return Service(kind, base.at(found[kind]))
    raise BadAnswer(NAME, "it offers no mappings")


def external_address(at: Service) -> bytes:
    """Ask for the external address."""
    return _post(at, "GetExternalIPAddress", {})


def add(
    at: Service, transport: Transport, *, external_port: int, internal: tuple[str, int], lease_s: int
) -> bytes:
    """Ask for a mapping; a lease of 0 never lapses."""
    own_ip, internal_port = internal
    arguments = {
        "NewRemoteHost": "",
        "NewExternalPort": str(external_port),
        "NewProtocol": transport.name,
        "NewInternalPort": str(internal_port),
        "NewInternalClient": own_ip,
        "NewEnabled": "1",
        "NewPortMappingDescription": DESCRIPTION,
        "NewLeaseDuration": str(lease_s),
    }
    return _post(at, "AddPortMapping", arguments)


def delete(at: Service, transport: Transport, *, external_port: int) -> bytes:
    """Withdraw a mapping."""
    arguments = {"NewRemoteHost": "", "NewExternalPort": str(external_port), "NewProtocol": transport.name}
    return _post(at, "DeletePortMapping", arguments)


def get(at: Place) -> bytes:
    """Ask for a description."""
    return f"GET {at.path} HTTP/1.1\r\nHost: {at.ip}:{at.port}\r\nConnection: close\r\n\r\n".encode("ascii")


def parse_address(status: int, body: bytes) -> str:
    """Return the external address. Raises `RouterRefused`, `BadAnswer`."""
    for element in check(status, body).walk():
        if element.name == "NewExternalIPAddress":
            return checked_ip(element.text.strip(), NAME)
    raise BadAnswer(NAME, "it names no external address")


def check(status: int, body: bytes) -> Element:
    """Return the answer's envelope. Raises `RouterRefused` with the router's reason, `BadAnswer`."""
    root = _read(body)
    if root.name != "Envelope":
        raise BadAnswer(NAME, "it is not a SOAP envelope")
    if status == 200:
        return root
    for element in root.walk():
        if element.name == "errorCode" and re.fullmatch(r"\d{1,4}", element.text.strip(), re.ASCII):
            code = int(element.text.strip())
            meaning = _MEANINGS.get(code, "unknown reason")
            raise RouterRefused(NAME, code, meaning, other_port=code in _CONFLICTS)
    raise BadAnswer(NAME, f"HTTP status {status}")


def _read(data: bytes) -> Element:
    try:
        return strict_xml.read(data)
    except BadXml as error:
        raise BadAnswer(NAME, str(error)) from error


def _post(at: Service, action: str, arguments: Mapping[str, str]) -> bytes:
    inner = "".join(f"<{name}>{escaped(value)}</{name}>" for name, value in arguments.items())
    body = (
        '<?xml version="1.0"?>\r\n'
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
        ' s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:{action} xmlns:u="{at.kind}">{inner}</u:{action}></s:Body></s:Envelope>\r\n'
    ).encode("ascii")
    head = (
        f"POST {at.control.path} HTTP/1.1\r\nHost: {at.control.ip}:{at.control.port}\r\n"
        f'Content-Type: text/xml; charset="utf-8"\r\nSOAPAction: "{at.kind}#{action}"\r\n'
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
    return head + body
