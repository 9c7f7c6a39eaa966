"""What is posted to a router and what it may answer."""

from __future__ import annotations

import pytest

from node.reach import igd
from node.reach.errors import BadAnswer, RouterRefused
from node.reach.igd import Service
from node.reach.ssdp import Place
from tests.fakes.router import DESCRIPTION, KIND, envelope, fault
from wire.messages.reach import Transport

BASE = Place("192.168.1.1", 5000, "/root.xml")
SERVICE = Service(KIND, BASE.at("/ctl"))


def test_the_service_is_found_however_deep_it_lies() -> None:
    assert igd.service(DESCRIPTION.encode(), BASE) == Service(KIND, BASE.at("/ctl/IPConn"))


def test_the_newer_service_is_preferred() -> None:
    both = (
        f"<r><service><serviceType>{KIND}</serviceType><controlURL>/old</controlURL></service><service>"
        f"<serviceType>{KIND[:-1]}2</serviceType><controlURL>/new</controlURL></service></r>"
    )
    assert igd.service(both.encode(), BASE).control.path == "/new"


@pytest.mark.parametrize(
    "description",
    [
        b"<r/>",
        b"not xml",
        DESCRIPTION.replace("/ctl/IPConn", "http://10.0.0.9/ctl").encode(),
        DESCRIPTION.replace("WANIPConnection", "Layer3Forwarding").encode(),
        DESCRIPTION.replace("/ctl/IPConn", "").encode(),
    ],
)
def test_a_description_without_a_service_of_the_routers_own_is_refused(description: bytes) -> None:
    with pytest.raises(BadAnswer):
        igd.service(description, BASE)


def test_a_mapping_is_asked_for_with_all_arguments_in_order() -> None:
    request = igd.add(
        SERVICE, Transport.UDP, external_port=7400, internal=("192.168.1.7", 7311), lease_s=3600
    )
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /ctl HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n")
    assert f'SOAPAction: "{KIND}#AddPortMapping"'.encode() in head
    assert f"Content-Length: {len(body)}".encode() in head
    action = igd.check(200, body)
    arguments = action.children[0].children[0].children
    assert [one.name for one in arguments] == [
        "NewRemoteHost", "NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient", "NewEnabled",
        "NewPortMappingDescription", "NewLeaseDuration",
    ]  # fmt: skip
    assert [one.text for one in arguments] == [
        "", "7400", "UDP", "7311", "192.168.1.7", "1", "lamella", "3600"
    ]  # fmt: skip


def test_a_withdrawal_and_the_other_questions_name_what_they_ask() -> None:
    assert b"<NewExternalPort>7400<" in igd.delete(SERVICE, Transport.TCP, external_port=7400)
    assert b"#GetExternalIPAddress" in igd.external_address(SERVICE)
    assert igd.get(BASE).startswith(b"GET /root.xml HTTP/1.1\r\nHost: 192.168.1.1:5000\r\n")


def test_the_external_address_is_read_and_checked() -> None:
    body = "<u:R><NewExternalIPAddress> {} </NewExternalIPAddress></u:R>"
    assert igd.parse_address(200, envelope(body.format("8.8.4.4"))) == "8.8.4.4"
    for bad in ("", "0.0.0.0", "router", "127.0.0.1"):
        with pytest.raises(BadAnswer):
            igd.parse_address(200, envelope(body.format(bad)))
    with pytest.raises(BadAnswer):
        igd.parse_address(200, envelope("<u:R/>"))


@pytest.mark.parametrize(("code", "other_port"), [(718, True), (725, False), (606, False), (9999, False)])
def test_a_fault_keeps_its_code(code: int, other_port: bool) -> None:
    with pytest.raises(RouterRefused) as raised:
        igd.check(500, fault(code))
    assert (raised.value.code, raised.value.other_port) == (code, other_port)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, envelope("")), (404, b"<html/>"), (200, b"<html/>"), (200, b""), (500, fault(1) + b"x"),
     (500, envelope("<errorCode>1e9</errorCode>"))],
)  # fmt: skip
def test_an_answer_that_says_nothing_is_refused(status: int, body: bytes) -> None:
    with pytest.raises(BadAnswer):
        igd.check(status, body)
