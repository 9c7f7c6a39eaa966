"""Who holds a port is read from the system's tables, of this very process as an example."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from node.doctor.holders import holder


def test_the_process_that_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert f"(process {os.getpid()})" in (holder(port, udp=False) or "")
        assert holder(port, udp=True) is None
    assert holder(port, udp=False) is None


def test_the_process_that_has_a_udp_port_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        assert f"(process {os.getpid()})" in (holder(bound.getsockname()[1], udp=True) or "")


def test_a_process_of_which_nothing_may_be_known_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    row = "0: 0100007F:1C8F 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1"
    (tmp_path / "net" / "tcp").write_text(f"head\n{row}\nshort\n")
    (tmp_path / "17").mkdir()
    assert holder(0x1C8F, udp=False, proc=tmp_path) is None
    (tmp_path / "17" / "fd").mkdir()
    (tmp_path / "17" / "fd" / "3").symlink_to("socket:[4242]")
    assert holder(0x1C8F, udp=False, proc=tmp_path) == "a program (process 17)"
    assert holder(0x1C8F, udp=False, proc=tmp_path / "nowhere") is None
