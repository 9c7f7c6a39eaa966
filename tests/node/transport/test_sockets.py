"""What a link asks of its socket."""

from __future__ import annotations

import asyncio
import socket

from node.transport.sockets import KERNEL_UNSENT_BYTES, peer_address, read_ahead, tune
from wire.types import Address


async def test_a_socket_sends_at_once_and_holds_little() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, *listening.getsockname()
        )
        sock = transport.get_extra_info("socket")
        tune(transport)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == KERNEL_UNSENT_BYTES
        read_ahead(transport, 10_000)
        # The kernel doubles it for its own use (socket(7)).
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 20_000
        transport.abort()
        await asyncio.sleep(0)


def test_a_transport_without_a_socket_is_left_as_it_is() -> None:
    tune(asyncio.Transport())
    read_ahead(asyncio.Transport(), 10_000)


def test_an_address_is_written_in_one_way() -> None:
    assert peer_address(("192.0.2.1", 7311)) == Address("192.0.2.1", 7311)
    assert peer_address(("::ffff:192.0.2.1", 7311, 0, 0)) == Address("192.0.2.1", 7311)
    assert peer_address(("2001:db8::1", 7311, 0, 0)) == Address("2001:db8::1", 7311)
    assert peer_address(None) is None
