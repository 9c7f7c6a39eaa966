"""A little internet of network namespaces on this machine: public hosts, homes behind NAT, nothing that leads outside.

Each namespace has a thread with an event loop in it, so that the code under test runs as it is, on sockets of that
namespace. Everything made here is removed at the end, also after a failure.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x4000_0000
_COMMAND_S: Final = 20.0
_LABS: Final = itertools.count()

CONE: Final = "masquerade"
"""Every connection from one inner address and port keeps its outer port, whoever it is to."""
SYMMETRIC: Final = "masquerade fully-random"
"""Every connection gets an outer port of its own."""


def why_not(*tools: str) -> str | None:
    """Why the lab cannot be built here; None when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nft", *tools) if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt-get install iproute2 nftables miniupnpd-nftables)"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "this machine does not allow network namespaces"


def needs(*tools: str) -> list[pytest.MarkDecorator]:
    """Marks for a module of lab tests: its group, and when it is skipped, why."""
    reason = why_not(*tools)
    return [pytest.mark.lab, pytest.mark.skipif(reason is not None, reason=reason or "")]


def command(*words: str, text: str | None = None) -> str:
    """Run a program; return what it prints."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


@dataclass(eq=False)
class Machine:
    """One namespace."""

    name: str
    ip: str = ""
    """Its address on the network it belongs to; of a home's router, the outer one."""
    loop: asyncio.AbstractEventLoop | None = None
    thread: threading.Thread | None = None
    started: threading.Event = field(default_factory=threading.Event)

    def command(self, *words: str, text: str | None = None) -> str:
        """Run a program in it."""
        return command("ip", "netns", "exec", self.name, *words, text=text)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on this machine's loop, and wait for it."""
        assert self.loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self.loop))

    def start(self) -> None:
        """Start the thread that lives in the namespace."""
        self.thread = threading.Thread(target=self._live, name=self.name, daemon=True)
        self.thread.start()
        assert self.started.wait(_COMMAND_S)

    def stop(self) -> None:
        """End it."""
        if self.loop is not None and self.thread is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(_COMMAND_S)

    def _live(self) -> None:
        with Path(f"/run/netns/{self.name}").open() as file:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.setns(file.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        self.loop = asyncio.new_event_loop()
        self.loop.call_soon(self.started.set)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


@dataclass
class Home:
    """A machine behind a router that translates addresses."""

    router: Machine
    host: Machine
    lan_ip: str
    """The router's inner address."""


class Lab:
    """Builds the network. Addresses are real public ones, since a router's software refuses others; they end here."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._prefix = f"lm{os.getpid()}-{next(_LABS)}-"
        self._count = 0
        self.internet = self._machine("net")
        self.internet.command("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def _machine(self, name: str) -> Machine:
        machine = Machine(f"{self._prefix}{name}")
        command("ip", "netns", "add", machine.name)
        self._stack.callback(subprocess.run, ["ip", "netns", "delete", machine.name], check=False)
        command("ip", "-n", machine.name, "link", "set", "lo", "up")
        # No waiting for somebody else with the same address.
        command("ip", "netns", "exec", machine.name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        machine.start()
        self._stack.callback(machine.stop)
        return machine

    def public(self) -> Machine:
        """A machine with a public address and no filter, in a network of its own."""
        self._count += 1
        machine = self._machine(f"p{self._count}")
        self._wire(
            machine,
            "eth0",
            f"5.{self._count}.0.2",
            self.internet,
            f"pub{self._count}",
            f"5.{self._count}.0.1",
        )
        command("ip", "-n", machine.name, "route", "add", "default", "via", f"5.{self._count}.0.1")
        machine.ip = f"5.{self._count}.0.2"
        return machine

    def home(self, nat: str = CONE) -> Home:
        """A machine behind a router that lets nobody in, unless it is told to."""
        self._count += 1
        number = self._count
        router, host = self._machine(f"r{number}"), self._machine(f"h{number}")
        router.command("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self._wire(router, "wan", f"5.{number}.0.2", self.internet, f"home{number}", f"5.{number}.0.1")
        command("ip", "-n", router.name, "route", "add", "default", "via", f"5.{number}.0.1")
        self._wire(host, "eth0", f"192.168.{number}.2", router, "lan", f"192.168.{number}.1")
        command("ip", "-n", host.name, "route", "add", "default", "via", f"192.168.{number}.1")
        router.command("nft", "-f", "-", text=_RULES.format(nat=nat))
        router.ip, host.ip = f"5.{number}.0.2", f"192.168.{number}.2"
        return Home(router, host, f"192.168.{number}.1")

    def lan(self, count: int) -> list[Machine]:
        """Machines of one local network that leads nowhere else; all hear what is sent to a group."""
        self._count += 1
        number = self._count
        switch = self._machine(f"s{number}")
        switch.command("ip", "link", "add", "br0", "type", "bridge")
        switch.command("ip", "link", "set", "br0", "up")
        machines = []
        for index in range(1, count + 1):
            machine = self._machine(f"l{number}x{index}")
            machine.ip = f"192.168.{number}.{index}"
            self._wire(machine, "eth0", machine.ip, switch, f"port{index}", f"10.{number}.{index}.1")
            switch.command("ip", "address", "flush", "dev", f"port{index}")
            switch.command("ip", "link", "set", f"port{index}", "master", "br0")
            machines.append(machine)
        return machines

    def six(self, home: Home) -> str:
        """Give a home IPv6 too, with no translation but the same closed router; return its machine's address."""
        for name, address, interface in (
            (home.router.name, "2a01:1:2:3::1/64", "lan"),
            (home.router.name, "2a01:9::2/64", "wan"),
            (home.host.name, "2a01:1:2:3::2/64", "eth0"),
        ):
            command("ip", "-n", name, "address", "add", address, "dev", interface, "nodad")
        shown = command("ip", "-n", home.router.name, "-6", "address", "show", "dev", "lan", "scope", "link")
        inner = shown.split("inet6 ")[1].split("/")[0]
        command("ip", "-n", home.host.name, "-6", "route", "add", "default", "via", inner, "dev", "eth0")
        return "2a01:1:2:3::2"

    def _wire(self, one: Machine, inner: str, ip: str, other: Machine, outer: str, other_ip: str) -> None:
        command(
            "ip", "-n", one.name, "link", "add", inner, "type", "veth", "peer", "name", outer, "netns", other.name
        )  # fmt: skip
        for machine, interface, address in ((one, inner, ip), (other, outer, other_ip)):
            command("ip", "-n", machine.name, "address", "add", f"{address}/24", "dev", interface)
            command("ip", "-n", machine.name, "link", "set", interface, "up")


_RULES: Final = """
table inet filter {{
    chain forward {{
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan" accept
        jump miniupnpd
    }}
    chain miniupnpd {{ }}
    chain input {{
        type filter hook input priority 0; policy accept;
        iifname "wan" ct state new reject with tcp reset
        iifname "wan" ct state new drop
    }}
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        jump prerouting_miniupnpd
    }}
    chain prerouting_miniupnpd {{ }}
    chain postrouting {{
        type nat hook postrouting priority 100; policy accept;
        jump postrouting_miniupnpd
        oifname "wan" {nat}
    }}
    chain postrouting_miniupnpd {{ }}
}}
"""


@contextmanager
def lab() -> Iterator[Lab]:
    """A network until the end of the block."""
    with ExitStack() as stack:
        yield Lab(stack)


_MINIUPNPD: Final = """
ext_ifname=wan
listening_ip=lan
http_port=5000
enable_natpmp=yes
enable_upnp=yes
min_lifetime=1
max_lifetime=86400
secure_mode=yes
system_uptime=yes
uuid=00000000-0000-0000-0000-000000000001
force_igd_desc_v1=no
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


@contextmanager
def miniupnpd(home: Home, folder: Path, *, extra: str = "") -> Iterator[None]:
    """Run the software of many home routers in a home's router."""
    settings = folder / "miniupnpd.conf"
    settings.write_text(_MINIUPNPD + extra)
    words = ["ip", "netns", "exec", home.router.name, shutil.which("miniupnpd") or "miniupnpd"]
    with (folder / "miniupnpd.log").open("w") as log:
        process = subprocess.Popen(
            [*words, "-d", "-f", str(settings), "-P", str(folder / "miniupnpd.pid")], stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(_COMMAND_S)
