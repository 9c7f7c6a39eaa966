"""A router may lead us to its own web server, and nowhere else."""

from __future__ import annotations

import pytest

from node.reach import ssdp
from node.reach.errors import BadAnswer
from node.reach.ssdp import Place, parse, place

ROUTER = "192.168.1.1"
KIND = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"


def answer(location: str, *, status: str = "HTTP/1.1 200 OK", kind: str = KIND) -> bytes:
    return f"{status}\r\nCACHE-CONTROL: max-age=120\r\nst: {kind}\r\nLocation: {location}\r\n\r\n".encode()


def test_searches_ask_for_routers_of_both_versions() -> None:
    one, two = ssdp.searches()
    assert one.startswith(b"M-SEARCH * HTTP/1.1\r\n")
    assert b"InternetGatewayDevice:2" in one
    assert b"InternetGatewayDevice:1" in two
    assert two.endswith(b"\r\n\r\n")


def test_the_place_of_the_description_is_read() -> None:
    found = parse(answer("http://192.168.1.1:5000/root.xml"), router=ROUTER)
    assert found == Place(ROUTER, 5000, "/root.xml")
    assert parse(answer("http://192.168.1.1"), router=ROUTER) == Place(ROUTER, 80, "/")


@pytest.mark.parametrize(
    "data",
    [b"", b"NOTIFY * HTTP/1.1\r\n\r\n", answer("x", status="HTTP/1.1 404 No"), answer("x", kind="upnp:rootdevice"),
     f"HTTP/1.1 200 OK\r\nST: {KIND}\r\n\r\n".encode(), b"\xff" * 100],
)  # fmt: skip
def test_what_is_no_answer_to_us_is_ignored(data: bytes) -> None:
    assert parse(data, router=ROUTER) is None


@pytest.mark.parametrize(
    "location",
    [
        "http://192.168.1.2/root.xml",
        "http://127.0.0.1/x",
        "http://router.local/x",
        "https://192.168.1.1/x",
        "http://192.168.1.1@evil.example/x",
        "http://192.168.1.1:80@10.0.0.1/x",
        "http://user@192.168.1.1/x",
        "http://192.168.1.1:99999/x",
        "http://192.168.1.1:0/x",
        "http://192.168.1.1/a b",
        "http://192.168.1.1/a\x00b",
        "http://192.168.1.1/" + "a" * 600,
        "http://192.168.001.1/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_location_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(BadAnswer):
        parse(answer(location), router=ROUTER)


def test_an_answer_of_many_bytes_is_refused() -> None:
    with pytest.raises(BadAnswer):
        parse(answer("http://192.168.1.1/" + "a" * ssdp.MAX_BYTES), router=ROUTER)


def test_references_stay_on_the_router() -> None:
    here = place("http://192.168.1.1:5000/a/root.xml", router=ROUTER)
    assert here.at("/ctl") == Place(ROUTER, 5000, "/ctl")
    assert here.at("ctl") == Place(ROUTER, 5000, "/a/ctl")
    assert here.at("http://192.168.1.1:80/ctl") == Place(ROUTER, 80, "/ctl")
    for bad in ("http://10.0.0.1/ctl", "/a\r\nHost: evil", "/a b", "/" + "x" * 300):
        with pytest.raises(BadAnswer):
            here.at(bad)
