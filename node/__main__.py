"""The entry point `lamella-node`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Final, NoReturn

from node import cli
from node.config import NodeConfig
from node.errors import NodeError
from node.slices import threads
from node.slices.errors import SliceError
from node.status import StatusLine

_INTERRUPTED: Final = 130


def main() -> NoReturn:
    """Run the daemon and end the process with its exit code."""
    config = cli.parse()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        code = _serve(config, StatusLine(as_json=config.json))
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is closed and written; taking torch down module by module would cost more than a second.
    os._exit(code)


def _serve(config: NodeConfig, status: StatusLine) -> int:
    threads.prepare(config.threads)
    # After `prepare`: the daemon imports torch, which reads its threading environment once, at import.
    import uvloop

    from node import daemon

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(daemon.run(config, status))
    except daemon.Interrupted as error:
        status.say("stopped", f"lamella-node: {error.cause}", cut_off=0)
    except (NodeError, SliceError) as error:
        status.fail(str(error))
        return 1
    return 0


if __name__ == "__main__":
    main()
