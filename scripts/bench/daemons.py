"""Host daemons for a measurement: started together, stopped whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crypto.identity import PeerId
from wire.contacts import Contact
from wire.types import Address

_STOP_TIMEOUT_S = 20.0


@contextmanager
def running(
    model: str, ranges: Sequence[str], *, dtype: str | None, threads: int, weights: str = "native"
) -> Iterator[tuple[Contact, ...]]:
    """Run one `lamella-node` per layer range on free loopback ports; yields where they are, in order."""
    started: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="lamella-bench-") as folder:
        try:
            for index, layers in enumerate(ranges):
                command = [sys.executable, "-m", "node", "--model", model, "--layers", layers, "--json"]
                command += ["--listen", "127.0.0.1:0"]
                command += ["--identity", str(Path(folder) / f"host-{index}"), "--threads", str(threads)]
                command += ["--weights", weights, *(["--dtype", dtype] if dtype else [])]
                started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            yield tuple(ready(process) for process in started)
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                try:
                    process.wait(_STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                if process.stdout is not None:
                    process.stdout.close()


def ready(process: subprocess.Popen[str]) -> Contact:
    """Wait until a process says `ready` and return where it is. Raises `RuntimeError` if it ends or gives up before."""
    if process.stdout is None:
        raise RuntimeError("the daemon has no standard output")
    for line in process.stdout:
        said = json.loads(line)
        if said["event"] == "ready":
            return Contact(peer=PeerId.parse(said["peer_id"]), address=Address.parse(said["address"]))
        if said["event"] == "error":
            raise RuntimeError(said["message"])
    raise RuntimeError("a daemon ended before it was ready")
