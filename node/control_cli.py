"""`lamella-node ctl`: asks a running host, prints what it says. Imports nothing heavy, so that an answer is instant.

The words of each command are made from the table of commands: free text stands by itself, everything else is an
option, and what it may hold is said and checked by the same kind that the host checks with.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from node import command_line, control_text
from node.control.client import connected, decoded
from node.control.commands import COMMANDS, Command, read_arguments, suggestion
from node.control.errors import BadRequest
from node.control.kinds import Flag, Kind, Maybe, Text, shown
from node.control.protocol import Answer, Failed, Told
from node.control.shapes import Part, parts
from node.errors import NodeError

CTL: Final = "ctl"
_DONE: Final = 0
_NOT_DONE: Final = 1
_INTERRUPTED: Final = 130
_UNREACHABLE: Final = "unreachable"
"""The code with which `--json` tells that there was no answer; hosts do not use it."""
_STOPS: Final = (signal.SIGTERM, signal.SIGHUP)
_COMMANDS: Final = "\n".join(f"  {name:<10}{one.summary.partition(';')[0]}" for name, one in COMMANDS.items())
_EPILOG: Final = f"""\
commands:
{_COMMANDS}

`lamella-node ctl COMMAND --help` tells the rest. The host of this user is asked; root may ask any, by --socket.

examples:
  lamella-node ctl status
  lamella-node ctl join hf:org/name --layers 0:12
  lamella-node ctl drain --grace 60         let sessions finish, at most for a minute
  lamella-node ctl logs --follow --level warning
  lamella-node ctl sessions --json | jq .

exit codes: 0 done, 1 the host could not or cannot be asked, 2 wrong usage, 130 interrupted
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Everything `lamella-node ctl` can be told."""

    command: Command[Any, Any, Any]
    arguments: Any
    socket: Path | None = None
    """Where the host's socket is; in this user's runtime folder when None."""
    json: bool = False


def parse(arguments: Sequence[str]) -> ControlConfig:
    """Read the words after `ctl`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    as_json = "--json" in arguments
    first = _parser(f"lamella-node {CTL}", "Ask a running host, or tell it what to do.", _EPILOG)
    first.as_json = as_json
    first.usage = f"lamella-node {CTL} COMMAND [...] [--json] [--socket PATH]"
    first.add_argument("command", type=_command, metavar="COMMAND", help=argparse.SUPPRESS)
    first.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS).required = False
    words = first.parse_args(arguments)
    command: Command[Any, Any, Any] = words.command
    second = _parser(f"lamella-node {CTL} {command.name}", f"{command.summary}.", _about_ending(command))
    second.as_json = as_json
    second.set_defaults(json=words.json, socket=words.socket)
    table = parts(command.arguments)
    for part in table.values():
        _add(second, part)
    rest = second.parse_args(words.rest)
    given = {name: getattr(rest, name) for name in table if getattr(rest, name) is not None}
    try:
        checked = read_arguments(command, given)
    except BadRequest as error:
        second.error(str(error))
    return ControlConfig(command=command, arguments=checked, socket=rest.socket, json=rest.json)


def main(arguments: Sequence[str]) -> int:
    """Do what the words after `ctl` ask for; return the exit code."""
    config = parse(arguments)
    # What stops other commands stops this one: the request is given up before the connection is.
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        with asyncio.Runner() as runner:
            return runner.run(run(config))
    except KeyboardInterrupt:
        _write(sys.stderr, [f"interrupted; {config.command.cancelled}"])
        return _INTERRUPTED


async def run(config: ControlConfig, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Ask the host and print its answers; return the exit code. Cancelling it gives the request up."""
    to, errors = out or sys.stdout, err or sys.stderr
    try:
        async with (
            connected(config.socket) as client,
            client.answers(config.command, config.arguments) as answers,
        ):
            async for answer in answers:
                if not _print(config, answer, to, errors):
                    return _DONE
                if isinstance(answer, Failed):
                    return _NOT_DONE
    except NodeError as error:
        if config.json:
            _write(to, [Failed(None, _UNREACHABLE, error.cause, error.next_step).line()])
        _write(errors, [control_text.clean(f"lamella-node {CTL}: {error}")])
        return _NOT_DONE
    return _DONE


def _print(config: ControlConfig, answer: Answer, to: TextIO, errors: TextIO) -> bool:
    """Print one answer; whether anybody reads it. Raises `BadAnswer`."""
    if config.json:
        return _write(to, [answer.line()])
    if isinstance(answer, Failed):
        return _write(errors, [control_text.clean(f"lamella-node {CTL}: {answer.error()}")])
    said = control_text.lines(decoded(config.command, answer))
    # What a long command does on its way is not its result; records of a log are.
    aside = isinstance(answer, Told) and config.command.name != "logs"
    return _write(errors if aside else to, said)


def _write(stream: TextIO, said: list[str]) -> bool:
    """Write lines at once; whether anybody reads them."""
    try:
        stream.write("".join(f"{line}\n" for line in said))
        stream.flush()
    except BrokenPipeError:
        # `| head` has seen enough. What is buffered would fail again when Python ends.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


class _Parser(command_line.Parser):
    """A parser whose every description is kept as it is written."""

    def error(self, message: str) -> NoReturn:
        super().error(control_text.clean(message))


def _parser(prog: str, description: str, epilog: str) -> _Parser:
    parser = _Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="the host's own lines, one JSON object each")
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="the host's socket (default: in this user's runtime folder)",
    )
    return parser


def _command(text: str) -> Command[Any, Any, Any]:
    if text not in COMMANDS:
        raise argparse.ArgumentTypeError(f"there is no command {shown(text)}; {suggestion(text, COMMANDS)}")
    return COMMANDS[text]


def _about_ending(command: Command[Any, Any, Any]) -> str:
    if not command.is_long:
        return ""
    return f"Ctrl-C gives it up: {command.cancelled}."


def _add(parser: argparse.ArgumentParser, part: Part) -> None:
    """Add an argument of a command to a command line."""
    kind: Kind = part.kind.of if isinstance(part.kind, Maybe) else part.kind
    about = part.meaning.replace("%", "%%")
    if isinstance(kind, Text):
        count = None if part.required else "?"
        parser.add_argument(part.name, nargs=count, metavar=part.name.upper(), help=about)
    elif isinstance(kind, Flag):
        parser.add_argument(f"--{part.name}", action="store_true", default=None, help=about)
    else:
        option = part.name.removesuffix("_s").replace("_", "-")
        name = "SECONDS" if part.name.endswith("_s") else option.upper()
        parser.add_argument(
            f"--{option}", dest=part.name, type=kind.typed, metavar=name, help=f"{about} ({kind.words})"
        )
