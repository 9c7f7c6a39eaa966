"""A host as far as systemd can see one, and nothing else: it starts, says so, gives signs of life, and stops.

It leaves what it was given in a file, so that tests see what came through a unit.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from node.service.notify import Notifier


def written(path: Path) -> str:
    """Whether a file can be written, in a word."""
    try:
        path.write_text("here")
    except OSError as error:
        return type(error).__name__
    path.unlink()
    return "yes"


def seen(words: list[str]) -> dict[str, object]:
    """What this process finds around it."""
    home = Path.home()
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "words": words,
        "folder": str(Path.cwd()),
        "data": os.environ.get("XDG_DATA_HOME"),
        "nice": os.nice(0),
        "no_new_privileges": status["NoNewPrivs"],
        "seccomp": status["Seccomp"],
        "capabilities": status["CapBnd"],
        "writes": {
            "home": written(home / "probe"),
            "data": written(home / ".local/share/lamella/probe"),
            "cache": written(home / ".cache/lamella/probe"),
            "runtime": written(Path(os.environ["XDG_RUNTIME_DIR"]) / "lamella/probe"),
            "tmp": written(Path("/tmp/probe")),
        },
        "private": sorted(one.name for one in (home / ".ssh").iterdir())
        if os.access(home / ".ssh", os.R_OK)
        else "hidden",
        "tmp": len(list(Path("/tmp").iterdir())),
    }


async def main(words: list[str]) -> int:
    notifier = Notifier.from_environment()
    alive = asyncio.ensure_future(notifier.keep_alive())
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    if words and words[0] == "fail":
        print("the port is taken", file=sys.stderr)
        return 1
    path = Path.home() / ".local/share/lamella/seen.json"
    path.write_text(json.dumps(seen(words)))
    if words and words[0] == "never-ready":
        notifier.status("fetching 12 %")
        await stop.wait()
        return 0
    notifier.ready("serves pocket 6:12")
    while not stop.is_set():
        await asyncio.wait(
            [asyncio.ensure_future(one.wait()) for one in (stop, again)],
            return_when=asyncio.FIRST_COMPLETED,
        )
        if again.is_set():
            again.clear()
            notifier.reloading()
            notifier.reloaded("serves pocket 6:12, reloaded")
    notifier.stopping("1 answer under way")
    alive.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
