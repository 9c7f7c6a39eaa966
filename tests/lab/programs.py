"""Swarms of real programs on the machines of a lab, each with a home of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.make_model import write_tiny
from tests.fakes import chat_folder, hosts
from tests.fakes.hosts import Host, HostOptions, Place
from tests.lab.namespaces import Machine

SEEN_S = 30.0


def tiny_model(folder: Path) -> Path:
    """A llama of five layers that can be spoken with."""
    hosts.fork_server()
    return chat_folder.byte_level(write_tiny(folder / "tiny-llama", "llama", vocab_size=512))


class Swarm:
    """The programs of one test, each with a home of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.model = model
        self.started: list[Host] = []

    def place(self, machine: Machine, name: str) -> Place:
        home = self.folder / name
        kinds = {f"XDG_{kind}_HOME": str(home / kind) for kind in ("DATA", "CACHE", "CONFIG")}
        return Place(namespace=machine.name, environment={**kinds, "LAMELLA_LAN": "yes"})

    def host(self, machine: Machine, layers: str, *more: str, identity: Path | None = None) -> Host:
        place = self.place(machine, f"host-{layers}-{len(self.started)}")
        options = HostOptions(listen=None, place=place, more=("--no-map", *more))
        identity = identity or self.folder / f"id-{len(self.started)}"
        host = hosts.start(identity, self.model, layers, options)
        self.started.append(host)
        return host

    def lamella(self, machine: Machine, *words: str, ends_well: bool = True) -> list[dict[str, Any]]:
        """What `lamella` prints as JSON."""
        program = hosts.lamella([*words, "--json"], self.place(machine, "client"))
        try:
            assert (program.wait(60) == 0) == ends_well, program.stderr
            lines: list[str | None] = []
            while (line := program.lines.get(timeout=5)) is not None:
                lines.append(line)
            return [json.loads(line) for line in lines if line]
        finally:
            program.end()

    def ask(self, machine: Machine, *words: str) -> str:
        """The answer to a question."""
        said = self.lamella(machine, "ask", "hello", "--model", str(self.model), "--max-tokens", "12", *words)
        return "".join(one["text"] for one in said if one["event"] == "text")

    def failure(self, machine: Machine, *words: str) -> dict[str, Any]:
        """Why there is no answer."""
        said = self.lamella(machine, "ask", "hello", "--model", str(self.model), *words, ends_well=False)
        return next(one for one in said if one["event"] == "error")

    def peers(self, machine: Machine, count: int, *words: str) -> list[dict[str, Any]]:
        """What `lamella peers` shows, once it shows as many."""
        until = time.monotonic() + SEEN_S
        while True:
            (seen,) = self.lamella(machine, "peers", *words)
            peers: list[dict[str, Any]] = seen["peers"]
            if len(peers) == count:
                return peers
            assert time.monotonic() < until, peers


@contextmanager
def swarm(folder: Path, model: Path) -> Iterator[Swarm]:
    made = Swarm(folder, model)
    try:
        yield made
    finally:
        for host in made.started:
            host.end()


def addresses(peers: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({address for peer in peers for one in peer["slices"] for address in one["addresses"]})
