"""Real `lamella-node` processes for a test, ended by their own process id whatever happens.

Each is a process of its own that runs the entry point's `main`, forked from a server that has imported torch and
transformers once: to import them takes ten seconds of a core, and tests start dozens of hosts.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Final

from crypto.identity import PeerId
from wire.contacts import Contact
from wire.types import Address

_CLONE_NEWNET: Final = 0x4000_0000
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
_PRELOADED: Final = [
    *("chat.client", "node.daemon", "transformers.models.llama.modeling_llama", "uvloop"),
    *("httpx2", "huggingface_hub.hf_api"),
]


def fork_server() -> ForkServerContext:
    """The server that processes of tests are forked from; started by the first call, which does not wait for it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    forkserver.ensure_running()
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a program runs."""

    namespace: str | None = None
    """A network namespace; the one of the tests when None."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables besides those of the tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What hosts of one test have in common."""

    dtype: str | None = "float32"
    weights: str | None = "native"
    threads: int = 1
    network: str = "main"
    kv_memory: str = "256M"
    grace_s: float = 5.0
    control: Path | None = None
    """The control socket, if there is to be one."""
    listen: Address | None = field(default_factory=lambda: Address("127.0.0.1", 0))
    """None for the usual place."""
    place: Place = field(default_factory=Place)
    more: tuple[str, ...] = ()
    """Further words."""


class Program:
    """A forked process whose standard output and standard error a test reads."""

    def __init__(self, main: Callable[[], int], arguments: Sequence[str], place: Place | None = None) -> None:
        """Run `main` in a process of its own, with `arguments` as its command line."""
        place = place or Place()
        context = fork_server()
        out, out_writer = context.Pipe(duplex=False)
        err, err_writer = context.Pipe(duplex=False)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **place.environment}
        self.process = context.Process(
            target=_become, args=(main, list(arguments), environment, place.namespace, out_writer, err_writer)
        )
        self.process.start()
        out_writer.close()
        err_writer.close()
        self.lines: queue.Queue[str | None] = queue.Queue()
        """Standard output, and None at its end."""
        self._stderr: list[str] = []
        self._readers = (
            threading.Thread(target=_read, args=(out, self.lines.put), daemon=True),
            threading.Thread(target=_read, args=(err, self._hear), daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far; all of it once it has ended."""
        return "".join(self._stderr)

    @property
    def resident_bytes(self) -> int:
        """Its memory, as the system counts it."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self) -> int:
        """How many files and sockets it holds."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.is_alive()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it still runs."""
        if self.running:
            # It may end, and be waited for by the server that forked it, between the two.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until it has ended and all its words are read; returns the exit code, negative for a signal."""
        self.process.join(timeout_s)
        code = self.process.exitcode
        assert code is not None, f"process {self.pid} has not ended within {timeout_s:g} s"
        for reader in self._readers:
            reader.join(timeout_s)
        return code

    def end(self) -> None:
        """End it by whatever it takes: asked first, killed if it does not listen. Safe to call twice."""
        self.send_signal(signal.SIGCONT)
        self.send_signal(signal.SIGTERM)
        self.process.join(STOP_TIMEOUT_S)
        if self.running:
            self.process.kill()
        self.wait()

    def _hear(self, line: str | None) -> None:
        if line is not None:
            self._stderr.append(line)


class Host(Program):
    """One daemon, as a test sees it: its status lines, its words on standard error, its process."""

    def __init__(self, arguments: Sequence[str], place: Place | None = None) -> None:
        """Start `lamella-node --json` with these arguments; it is ready after `wait_ready`."""
        self.said: list[dict[str, Any]] = []
        """Its status lines so far."""
        super().__init__(_node, ["lamella-node", "--json", *arguments], place)

    @property
    def contact(self) -> Contact:
        """Where it is and who; known once it is ready."""
        ready = next(one for one in self.said if one["event"] == "ready")
        return Contact(peer=PeerId.parse(ready["peer_id"]), address=Address.parse(ready["address"]))

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.contact.address

    @property
    def peer_id(self) -> PeerId:
        """Who it is."""
        return PeerId.parse(next(one for one in self.said if one["event"] == "ready")["peer_id"])

    def wait_for(self, event: str, timeout_s: float = START_TIMEOUT_S) -> dict[str, Any]:
        """Wait for a status line; returns it. Fails with the host's own words when it ends first."""
        for one in self.said:
            if one["event"] == event:
                return one
        while True:
            try:
                line = self.lines.get(timeout=timeout_s)
            except queue.Empty:
                raise AssertionError(f"no {event!r} within {timeout_s:g} s; said {self.said}") from None
            if line is None:
                self.lines.put(None)
                raise AssertionError(f"it ended before {event!r}; said {self.said}\n{self.stderr}")
            said: dict[str, Any] = json.loads(line)
            self.said.append(said)
            if said["event"] == event:
                return said

    def wait_ready(self) -> Contact:
        """Wait until it serves; returns where."""
        self.wait_for("ready")
        return self.contact

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until it has ended and all its words are read; returns the exit code, negative for a signal."""
        code = super().wait(timeout_s)
        while (line := self.lines.get(timeout=timeout_s)) is not None:
            self.said.append(json.loads(line))
        self.lines.put(None)
        return code


@contextmanager
def running(
    folder: Path, model: Path, ranges: Sequence[str], options: HostOptions | None = None
) -> Iterator[tuple[Host, ...]]:
    """Run one host per layer range of `model`, started together, with identities in `folder`; yields them ready."""
    started: list[Host] = []
    try:
        for index, layers in enumerate(ranges):
            started.append(start(folder / f"host-{index}", model, layers, options))
        for host in started:
            host.wait_ready()
        yield tuple(started)
    finally:
        for host in started:
            host.send_signal(signal.SIGTERM)
        for host in started:
            host.end()


def start(identity: Path, model: Path, layers: str, options: HostOptions | None = None) -> Host:
    """Start one host; the caller waits for it and ends it."""
    options = options or HostOptions()
    arguments = ["--model", str(model), "--layers", layers, "--identity", str(identity)]
    arguments += ["--threads", str(options.threads), "--network", options.network]
    arguments += ["--kv-memory", options.kv_memory, "--grace", str(options.grace_s)]
    arguments += ["--control", str(options.control or "off"), *options.more]
    if options.listen is not None:
        arguments += ["--listen", str(options.listen)]
    if options.weights is not None:
        arguments += ["--weights", options.weights]
    if options.dtype is not None:
        arguments += ["--dtype", options.dtype]
    return Host(arguments, options.place)


def lamella(arguments: Sequence[str], place: Place | None = None) -> Program:
    """Start the client `lamella` with these arguments."""
    return Program(_chat, ["lamella", *arguments], place)


def _node() -> int:
    from node.__main__ import main

    return main()


def _chat() -> int:
    from chat.cli import main

    return main()


def _enter(namespace: str) -> None:
    """Go to a network namespace, with all threads that begin from now on."""
    with Path(f"/run/netns/{namespace}").open() as file:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.setns(file.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def _become(
    main: Callable[[], int],
    arguments: list[str],
    environment: dict[str, str],
    namespace: str | None,
    out: Connection,
    err: Connection,
) -> None:
    """Turn this forked process into the program: its command line, environment and standard streams."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    if namespace is not None:
        _enter(namespace)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = arguments
    sys.exit(main())


def _end_with_parent() -> None:
    """Tests that are killed leave nothing behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read(stream: Connection, put: Callable[[str | None], None]) -> None:
    with stream, os.fdopen(os.dup(stream.fileno())) as lines:
        for line in lines:
            put(line)
    put(None)
