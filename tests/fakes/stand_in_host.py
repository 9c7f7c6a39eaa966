"""A program in place of `lamella-node`: the same status lines and a real port, no model. Needs nothing but Python.

    python stand_in_host.py BEHAVIOUR TRACES LISTEN LAYERS

BEHAVIOUR: `serves`; `refuses` (says why and ends with 1); `crashes` (a traceback, 3); `never_ready`; `deaf` (serves and
ignores SIGTERM); `falls` (ends with 7 as soon as someone connects). Its process number is left in the folder TRACES.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sys
from base64 import b32encode
from pathlib import Path


def say(event: str, **facts: object) -> None:
    """Write a status line."""
    print(json.dumps({"event": event, **facts}), flush=True)


def stop(*_: object) -> None:
    """End as the daemon does when it is asked to."""
    say("stopping", active=0)
    say("stopped", cut_off=0)
    sys.exit(0)


def main() -> int:
    """Behave."""
    behaviour, traces, listen, layers = sys.argv[1:]
    (Path(traces) / str(os.getpid())).touch()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else stop)
    ip, _, port = listen.rpartition(":")
    server = socket.create_server((ip, int(port)))
    address = f"{ip}:{server.getsockname()[1]}"
    (Path(traces) / f"port-{server.getsockname()[1]}").touch()
    print(f"something a library prints of layers {layers}")
    say("loading", model="stand-in", layers=layers)
    if behaviour == "refuses":
        say("error", message="there is no model 'x' here; give another")
        print("lamella-node: there is no model\x1b[2J 'x' here", file=sys.stderr)
        return 1
    if behaviour == "crashes":
        raise SystemExit("\n".join([*(f"line {number}" for number in range(40)), "the last words"]))
    if behaviour != "never_ready":
        peer = b32encode(hashlib.sha256(layers.encode()).digest()).decode().rstrip("=").lower()
        say("ready", peer_id=peer, address=address, pid=os.getpid())
    while True:
        visitor, _ = server.accept()
        if behaviour == "falls":
            print("fell over", file=sys.stderr, flush=True)
            os._exit(7)
        visitor.close()


if __name__ == "__main__":
    sys.exit(main())
