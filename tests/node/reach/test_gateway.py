"""The kernel's tables, read for the one line that matters."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from node.reach import gateway
from node.reach.gateway import Gateway, gateways, own_address, parse_v4, parse_v6

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
BETTER = "wlan0\t00000000\tFE01A8C0\t0003\t0\t0\t50\t00000000\t0\t0\t0\n"
LOCAL = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
DOWN = "eth1\t00000000\t0201A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n"
SIX = f"{'0' * 32} 00 {'0' * 32} 00 {{}} {{}} 00000001 00000000 {{}} {{}}\n"
LINK_LOCAL = "fe80" + "0" * 27 + "1"


def test_the_default_gateway_is_read_from_the_ipv4_table() -> None:
    assert parse_v4(HEAD + LOCAL + DEFAULT) == ("192.168.1.1", "eth0")


def test_of_two_default_gateways_the_one_with_the_lower_metric_counts() -> None:
    assert parse_v4(HEAD + DEFAULT + BETTER) == ("192.168.1.254", "wlan0")


@pytest.mark.parametrize("text", ["", HEAD, HEAD + LOCAL, HEAD + DOWN, HEAD + "eth0\n"])
def test_a_table_without_a_default_gateway_has_none(text: str) -> None:
    assert parse_v4(text) is None


def test_a_link_local_ipv6_gateway_keeps_its_interface() -> None:
    line = SIX.format(LINK_LOCAL, "00000400", "00000003", "eth0")
    assert parse_v6(line) == ("fe80::1%eth0", "eth0")


def test_an_ipv6_gateway_with_the_lower_metric_counts_and_unreachable_routes_do_not() -> None:
    far = "20010db8" + "0" * 23 + "1"
    lines = SIX.format(LINK_LOCAL, "00000400", "00000003", "eth0") + SIX.format(
        far, "00000100", "00000003", "x"
    )
    assert parse_v6(lines) == ("2001:db8::1", "x")
    assert parse_v6(SIX.format("0" * 32, "ffffffff", "00200200", "lo")) is None
    assert parse_v6("") is None


def test_gateways_come_with_our_own_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four, six = tmp_path / "route", tmp_path / "ipv6_route"
    four.write_text(HEAD + DEFAULT)
    six.write_text(SIX.format(LINK_LOCAL, "00000400", "00000003", "eth0"))
    own = {socket.AF_INET: "192.168.1.7", socket.AF_INET6: None}
    monkeypatch.setattr(gateway, "own_address", own.get)
    assert gateways(four, six) == [Gateway(ip="192.168.1.1", interface="eth0", own_ip="192.168.1.7")]
    assert not gateways(four, six)[0].is_v6


def test_a_machine_without_tables_has_no_gateway(tmp_path: Path) -> None:
    assert gateways(tmp_path / "no", tmp_path / "none") == []


def test_our_own_address_is_found_without_sending_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gateway._FAR, socket.AF_INET, "127.0.0.2")
    assert own_address(socket.AF_INET) == "127.0.0.1"
    monkeypatch.setitem(gateway._FAR, socket.AF_INET, "255.255.255.255")
    assert own_address(socket.AF_INET) is None
