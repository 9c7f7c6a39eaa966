"""A cold local network: two hosts and a client that were told nothing, from the start of the last one to its answer.

    python -m scripts.bench.lan [--rounds 3]

Needs root, and `ip` of iproute2: the machines are network namespaces on one bridge that leads nowhere else. Each
program is a process of its own with an empty home, so that nothing is remembered. Beside the whole time stands how
long this machine takes to import what the client needs, which is most of it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

QUESTION: Final = "what is 17 squared?"
SLICES: Final = ("1:12", "12:24")
READY_S: Final = 120.0
_IMPORTS: Final = (
    "from chat.ask import _client; from node.slices import threads; threads.prepare(None); _client()"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="clients, one after the other (default 3)")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0 or shutil.which("ip") is None:
        print("scripts.bench.lan: needs root and the program `ip` (iproute2)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="lamella-lan-") as folder, ExitStack() as stack:
        first, second, client = stack.enter_context(network(3))
        for machine, layers in ((first, SLICES[0]), (second, SLICES[1])):
            stack.enter_context(host(machine, layers, Path(folder) / machine))
        whole, imports = [], []
        for number in range(options.rounds):
            imports.append(timed([sys.executable, "-P", "-c", _IMPORTS], Path(folder) / "imports"))
            command = [*inside(client), sys.executable, "-P", "-m", "chat", "ask", QUESTION]
            whole.append(timed(command, Path(folder) / f"client-{number}"))
    print(
        f"first answer after the last start: {median(whole):.1f} s ({', '.join(f'{one:.1f}' for one in whole)})"
    )
    print(f"of which importing:                {median(imports):.1f} s")
    return 0


@contextmanager
def network(count: int) -> Iterator[list[str]]:
    """Namespaces with an address each on one bridge; removed at the end."""
    prefix = f"lan{os.getpid()}"
    with ExitStack() as stack:
        bridge = f"{prefix}-sw"
        _add(bridge, stack)
        _ip("-n", bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", bridge, "link", "set", "br0", "up")
        names = []
        for number in range(1, count + 1):
            name, port = f"{prefix}-{number}", f"port{number}"
            _add(name, stack)
            _ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", bridge)
            _ip("-n", bridge, "link", "set", port, "master", "br0", "up")
            _ip("-n", name, "address", "add", f"192.168.77.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            names.append(name)
        yield names


@contextmanager
def host(machine: str, layers: str, home: Path) -> Iterator[None]:
    """A host that is ready."""
    words = ["--model", "pocket", "--layers", layers, "--no-map", "--json"]
    process = subprocess.Popen(
        [*inside(machine), sys.executable, "-P", "-m", "node", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(home),
    )
    try:
        if process.stdout is None or not any('"ready"' in line for line in process.stdout):
            raise RuntimeError(f"the host of layers {layers} did not get ready")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_S)


def timed(command: Sequence[str], home: Path) -> float:
    """Seconds that a program takes. Raises `subprocess.CalledProcessError`."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment(home))
    return time.perf_counter() - began


def inside(machine: str) -> list[str]:
    """The words that put a program into a namespace."""
    return ["ip", "netns", "exec", machine]


def environment(home: Path) -> dict[str, str]:
    """The environment of a program that has never run."""
    kinds = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("DATA", "CACHE", "CONFIG")}
    return {**os.environ, **kinds, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def _add(name: str, stack: ExitStack) -> None:
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "delete", name)
    _ip("-n", name, "link", "set", "lo", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
