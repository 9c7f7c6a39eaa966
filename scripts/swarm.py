"""A whole swarm on this machine: hosts that serve the pocket model between them, and questions to them.

    scripts/local-swarm.sh demo             start three hosts, ask one question, show the way it took, stop everything
    scripts/local-swarm.sh start            start three hosts that keep running
    scripts/local-swarm.sh ask "..."        ask them; options of `lamella ask` may follow
    scripts/local-swarm.sh chat             talk with them on the screen
    scripts/local-swarm.sh status --json    how each host is
    scripts/local-swarm.sh kill 2           kill host 2, to see what happens
    scripts/local-swarm.sh stop             stop them all

Everything it keeps is in `.swarm/` of this checkout; see `swarm_hosts.folder`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chat.errors import ChatError
from node.errors import NodeError
from scripts.swarm_hosts import plan
from scripts.swarm_hosts.commands import ME, QUESTION, Commands, hand_over
from scripts.swarm_hosts.errors import HostFailed, SwarmError
from scripts.swarm_hosts.folder import SwarmFolder
from scripts.swarm_hosts.interrupts import Interrupts
from scripts.swarm_hosts.lifecycle import ROOT, HostCommand, daemon_command
from scripts.swarm_hosts.screen import Screen
from wire.types import LayerRange

if TYPE_CHECKING:
    from scripts.swarm_hosts.demo import Client

_PIPE_CLOSED: Final = 128 + signal.SIGPIPE
_EXIT_CODES: Final = """\
exit codes: 0 done (status: every host serves), 1 failed, 2 wrong usage, 128 and the signal's number when
interrupted; a demo without an answer and `ask` end with the codes of `lamella`
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the command line works with; tests put other programs in place of hosts and client."""

    folder: Path = ROOT / ".swarm"
    command: HostCommand = daemon_command
    client: Client | None = None
    """`lamella`'s own when None."""


def main(arguments: Sequence[str] | None = None, parts: Parts | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parts = parts or Parts()
    if given[:1] in (["ask"], ["chat"]):
        return _reported(lambda: hand_over(SwarmFolder(parts.folder), given[0], given[1:]))
    words = _parser().parse_args(given)
    return _reported(lambda: asyncio.run(_run(words, parts)))


def _reported(work: Callable[[], int]) -> int:
    """Run `work`, saying on standard error what went wrong."""
    try:
        return work()
    except HostFailed as error:
        _complain("\n  | ".join((str(error), *error.log)))
        return error.exit_code
    except (SwarmError, ChatError) as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:  # before signals are listened to, or when all is done
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return _PIPE_CLOSED
    except (OSError, NodeError) as error:
        _complain(str(error))
        return 1


def _complain(text: str) -> None:
    with suppress(OSError):  # a terminal that was closed reads no complaint
        print(f"swarm: {text}", file=sys.stderr, flush=True)


async def _run(words: argparse.Namespace, parts: Parts) -> int:
    """Run a command that signals must find able to clean up."""
    interrupts, screen = Interrupts(), Screen(sys.stdout)
    commands = Commands(folder=SwarmFolder(parts.folder), screen=screen, interrupts=interrupts)
    try:
        match words.action:
            case "setup":
                screen.say(f"everything is installed; try: {ME} demo")
                return 0
            case "status":
                return await commands.status(as_json=words.json)
            case "kill":
                return commands.kill(words.number)
            case "stop":
                return await commands.stop()
        wanted = plan.make(
            words.model,
            hosts=words.hosts,
            layers=words.layers,
            base_port=words.base_port,
            threads=words.threads,
        )
        if words.action == "demo":
            return await commands.demo(wanted, words.question, parts.command, parts.client)
        return await commands.start(wanted, parts.command)
    except asyncio.CancelledError:
        if interrupts.received is None:
            raise
        _complain(f"stopped by {interrupts.received.name}")
        return 128 + interrupts.received


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=ME,
        description=(__doc__ or "").partition("\nEverything")[0],
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=about, description=about, allow_abbrev=False)

    add("setup", "install everything and start nothing")
    starting = add("start", "start hosts that keep running")
    showing = add("demo", "start hosts, ask one question, show its way, stop")
    showing.add_argument("question", nargs="?", default=QUESTION)
    for one in (starting, showing):
        one.add_argument("--model", default="pocket", help="`pocket`, or the folder of a checkpoint")
        one.add_argument("--hosts", type=_count, metavar="N", help="how many share the layers (default 3)")
        one.add_argument(
            "--layers",
            type=_layers,
            action="append",
            default=[],
            metavar="START:END",
            help="one host's; repeat",
        )
        one.add_argument("--base-port", type=_port, default=0, metavar="PORT", help="the first host's port")
        one.add_argument(
            "--threads", type=_count, default=1, metavar="N", help="compute threads of each host"
        )
    add("status", "how each host is").add_argument("--json", action="store_true", help="for scripts")
    add("kill", "kill one host with SIGKILL").add_argument("number", type=_count, metavar="N")
    add("stop", "stop every host")
    add("ask", "ask the hosts one question; takes the options of `lamella ask`")
    add("chat", "talk with the hosts on the screen; takes the options of `lamella`")
    return parser


def _layers(text: str) -> LayerRange:
    try:
        return LayerRange.parse(text)
    except ValueError as error:  # `InvalidValue`, or a number too long for Python to read
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 9999")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    exit_code = main()
    with suppress(OSError):
        sys.stdout.flush()
    # At once: a library that is still being imported on another thread is not waited for, nor broken in the middle.
    os._exit(exit_code)
