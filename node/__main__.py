"""The entry point `lamella-node`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Final, NoReturn

from node import cli, quantise_cli
from node.config import NodeConfig
from node.errors import NodeError
from node.quantise_cli import QuantiseConfig
from node.slices import threads
from node.slices.errors import SliceError
from node.status import StatusLine

_INTERRUPTED: Final = 130
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> NoReturn:
    """Run the daemon, or the command that was named, and end the process with its exit code."""
    if quantise_cli.wanted(sys.argv[1:]):
        _end(_quantise(quantise_cli.parse(sys.argv[2:])))
    config = cli.parse()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        code = _serve(config, StatusLine(as_json=config.json))
    except KeyboardInterrupt:
        code = _INTERRUPTED
    _end(code)


def _end(code: int) -> NoReturn:
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


def _quantise(config: QuantiseConfig) -> int:
    for number in _STOPS:
        # What was started with `nohup`, or in the background of a script, goes on.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    status = StatusLine(as_json=config.json)
    try:
        threads.prepare(config.threads)
        from node import quantising

        threads.apply()
        quantising.run(config, status)
    except KeyboardInterrupt:
        status.say("stopped", "lamella-node: interrupted; nothing was left behind")
        return _INTERRUPTED
    except (NodeError, SliceError) as error:
        status.fail(str(error))
        return 1
    return 0


def _interrupt(_number: int, _frame: object) -> NoReturn:
    # A second signal would cut off the tidying up after the first.
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
