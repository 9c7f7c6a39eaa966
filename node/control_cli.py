"""`lamella-node ctl`: asks a running host, prints what it says. Imports nothing heavy, so that an answer is instant.

The words of each command are made from the table of commands: free text stands by itself, everything else is an
option, and what it may hold is said and checked by the same kind that the host checks with.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from node import command_line, control_text, own_socket
from node.control.client import connected, decoded
from node.control.commands import COMMANDS, LOGS, Command, read_arguments, suggestion
from node.control.errors import BadRequest, Unfit
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
_CLEAR: Final = "\r\x1b[K"
_STOPS: Final = (signal.SIGTERM, signal.SIGHUP)
_COMMANDS: Final = "\n".join(f"  {name:<10}{one.summary.partition(';')[0]}" for name, one in COMMANDS.items())
_CODES: Final = "exit codes: 0 done, 1 the host could not or cannot be asked, 2 wrong usage, 130 interrupted"
_EPILOG: Final = f"""\
commands:
{_COMMANDS}

`lamella-node ctl COMMAND --help` tells the rest. The host of this user is asked; root may ask any, by --control.

examples:
  lamella-node ctl status
  lamella-node ctl join hf:org/name --layers 0:12
  lamella-node ctl drain --grace 60         let sessions finish, at most for a minute
  lamella-node ctl logs --follow --level warning
  lamella-node ctl sessions --json | jq .

{_CODES}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Everything `lamella-node ctl` can be told."""

    command: Command[Any, Any, Any]
    arguments: Any
    socket: Path | None = None
    """Where the host's socket is; where its own settings say when None."""
    json: bool = False


def parse(arguments: Sequence[str]) -> ControlConfig:
    """Read the words after `ctl`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    as_json = "--json" in arguments
    first = _parser(f"lamella-node {CTL}", "Ask a running host, or tell it what to do.", _EPILOG)
    first.as_json = as_json
    first.usage = f"lamella-node {CTL} COMMAND [...] [--json] [--control PATH]"
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
    try:
        with asyncio.Runner() as runner:
            return runner.run(_until_stopped(config))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _note(sys.stderr, [f"interrupted; {config.command.cancelled}"])
        return _INTERRUPTED


async def _until_stopped(config: ControlConfig) -> int:
    """What stops other commands stops this one as Ctrl-C does: the request is given up before the connection is."""
    task = asyncio.current_task()
    for number in _STOPS:
        if task is not None and signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await run(config)


async def run(config: ControlConfig, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Ask the host and print its answers; return the exit code. Cancelling it gives the request up."""
    told = _Told(config, out or sys.stdout, err or sys.stderr)
    try:
        async with (
            connected(config.socket or own_socket.named()) as client,
            client.answers(config.command, config.arguments) as answers,
        ):
            async for answer in answers:
                if not told.print(answer):
                    break
                if isinstance(answer, Failed):
                    return _NOT_DONE
    except NodeError as error:
        if config.json:
            told.result([Failed(None, _UNREACHABLE, error.cause, error.next_step).line()])
        told.clear()
        _note(told.errors, [control_text.clean(f"lamella-node {CTL}: {error}")])
        return _NOT_DONE
    finally:
        told.clear()
    return _NOT_DONE if told.lost else _DONE


class _Told:
    """Where the answers to one request are written.

    What a long command does on its way is not its result, and goes to standard error: on a terminal one line that
    changes, elsewhere a line whenever there is news.
    """

    def __init__(self, config: ControlConfig, to: TextIO | None, errors: TextIO | None) -> None:
        self._config = config
        self.to = to
        self.errors = errors
        self.lost = False
        """Whether something could not be written, for another reason than that nobody reads it."""
        self._step: object = None
        self._terminal = errors is not None and errors.isatty()
        self._open_line = False

    def print(self, answer: Answer) -> bool:
        """Print one answer; whether to go on. Raises `BadAnswer`."""
        if self._config.json:
            return self.result([answer.line()])
        if isinstance(answer, Failed):
            self.clear()
            _note(self.errors, [control_text.clean(f"lamella-node {CTL}: {answer.error()}")])
            return True
        record = decoded(self._config.command, answer)
        said = control_text.lines(record)
        # Records of a log are its result.
        if isinstance(answer, Told) and self._config.command is not LOGS:
            self._aside(record, said)
            return True
        self.clear()
        return self.result(said)

    def clear(self) -> None:
        """Take away the line that changes."""
        if self._open_line:
            self._open_line = False
            _note(self.errors, [_CLEAR], end="")

    def result(self, said: list[str]) -> bool:
        """Print lines of the result; whether anybody reads them."""
        try:
            return _write(self.to, said)
        except OSError as error:
            self.lost = True
            why = error.strerror or error
            _note(
                self.errors, [f"lamella-node {CTL}: the answer cannot be written ({why}); make room for it"]
            )
            return False

    def _aside(self, record: object, said: list[str]) -> None:
        step = control_text.step_of(record)
        if self._terminal:
            room = shutil.get_terminal_size().columns - 1
            self._open_line = True
            _note(self.errors, [_CLEAR + " ".join(said)[:room]], end="")
        elif step != self._step:
            _note(self.errors, said)
        self._step = step


def _note(stream: TextIO | None, said: list[str], end: str = "\n") -> None:
    """Write lines for a person, if they can be."""
    with suppress(OSError):
        _write(stream, said, end)


def _write(stream: TextIO | None, said: list[str], end: str = "\n") -> bool:
    """Write lines at once; whether anybody reads them. Raises `OSError` when there is no room for them."""
    if stream is None:
        # Closed before this program began; what was asked for is done all the same.
        return True
    try:
        stream.write("".join(f"{line}{end}" for line in said))
        stream.flush()
    except OSError as error:
        # What is buffered would fail again when Python ends.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise
        # `| head` has seen enough.
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
        "--control",
        "--socket",
        dest="socket",
        type=Path,
        metavar="PATH",
        help="the host's socket (default: where its settings say, else in this user's runtime folder)",
    )
    return parser


def _command(text: str) -> Command[Any, Any, Any]:
    if text not in COMMANDS:
        raise argparse.ArgumentTypeError(f"there is no command {shown(text)}; {suggestion(text, COMMANDS)}")
    return COMMANDS[text]


def _about_ending(command: Command[Any, Any, Any]) -> str:
    after = f"On Ctrl-C {command.cancelled}.\n\n" if command.is_long else ""
    return after + _CODES


@dataclass(frozen=True, slots=True)
class _Typed:
    """What a person typed for an option, checked here so that the complaint names the option."""

    kind: Kind

    def __call__(self, text: str) -> object:
        """The value as JSON would have given it. Raises `argparse.ArgumentTypeError`."""
        value = self.kind.typed(text)
        try:
            self.kind.read(value)
        except Unfit as error:
            raise argparse.ArgumentTypeError(error.cause) from error
        return value


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
            f"--{option}", dest=part.name, type=_Typed(kind), metavar=name, help=f"{about} ({kind.words})"
        )
