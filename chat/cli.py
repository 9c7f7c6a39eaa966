"""The command line of `lamella`: reads what was asked for, starts it, and ends with a code that scripts can rely on.

Nothing heavy is imported before it is needed, so that `--help` and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from chat import errors
from chat.errors import ChatError, UsageError, sentence
from chat.settings import PLANNING, SETTINGS, ending, load

if TYPE_CHECKING:
    from chat.driver import ClientOptions

INTERRUPTED: Final = 130
"""128 + SIGINT, as a shell says it."""
PIPE_CLOSED: Final = 141
"""128 + SIGPIPE."""

_LOOKS: Final = {
    "models": "what models the swarm serves: which layers, at how many hosts, and what is missing",
    "peers": "who serves what in the swarm, where, and how busy they are",
}
_COMMANDS: Final = ("ask", "models", "peers", "plan")
_FLAGS: Final = frozenset(
    (
        *(setting.flag for setting in SETTINGS),
        *(
            "--no-private-ends",
            "--no-allow-tokens",
            "--no-dht",
            "--no-lan",
            "--help",
            "--version",
            "--config",
            "--json",
            "--route",
            "--stats",
            "--machines",
            "--sessions",
        ),
    )
)
_PLAN_EPILOG: Final = """\
an example of FILE:
{example}
MODEL is not downloaded or loaded: its config.json is enough. Speeds are
estimates; docs/planning.md in the repository says how good they are.

exit codes:
{codes}
"""
_EPILOG: Final = """\
settings:
  Options from --model to --threads can also be written in the file
  {file}, as in
      peers = ["192.0.2.7:7311"]
      front-layers = 2
  or in the environment, as LAMELLA_PEERS or LAMELLA_FRONT_LAYERS. Options win
  over the environment, and the environment wins over the file.

exit codes:
{codes}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `lamella` with `argv` and return its exit code."""
    try:
        return _run(sys.argv[1:] if argv is None else list(argv))
    except ChatError as error:
        print(f"lamella: {sentence(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more when it ends; nobody reads that either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _run(argv: list[str]) -> int:
    _check_words(argv)
    given = vars(_parser().parse_args(argv))
    command = given.pop("command", None)
    if command == "plan":
        from chat.plan import read_options, run

        as_json = bool(given.pop("json", False))
        run(read_options(given, as_json=as_json), out=sys.stdout)
        return 0
    config = given.pop("config", None)
    words = given.pop("words", [])
    shown = {name: given.pop(name, False) for name in ("json", "route", "stats")}
    watch = given.pop("watch", False)
    options = load(given, os.environ, _config_file(config), required=config is not None)
    if command == "ask":
        from chat.ask import AskOptions, ask, connect_client, question

        text = question(words, sys.stdin)
        show = AskOptions(**shown)
        _wait(ask(connect_client, options, text, show=show, out=sys.stdout, err=sys.stderr))
        return 0
    if command is not None:
        from chat.lookout import LookOptions, look

        _wait(look(options, LookOptions(what=command, json=shown["json"], watch=watch), out=sys.stdout))
        return 0
    return _screen(options)


def _screen(options: ClientOptions) -> int:
    # The screen is drawn on standard error.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError("The screen needs a terminal. In a script or a pipe, use `lamella ask`")
    if os.environ.get("TERM") == "dumb":
        raise UsageError("This terminal cannot show the screen (TERM is dumb); use `lamella ask`")
    from chat.ask import connect_client
    from chat.own_host import OwnHost
    from chat.tui.app import LamellaApp

    app = LamellaApp(lambda progress: connect_client(options, progress), OwnHost(options.control))
    _wait(app.run_async())
    return app.return_code or 0


def _wait(work: Coroutine[Any, Any, object]) -> None:
    import asyncio
    import logging

    import uvloop

    # What goes wrong on the way is in the errors; a line of the log would run into the answer, or the screen.
    logging.getLogger().addHandler(logging.NullHandler())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _config_file(given: str | None) -> Path:
    if given is not None:
        return Path(given).expanduser()
    from node import paths
    from node.errors import NodeError

    try:
        return paths.config_dir() / "config.toml"
    except NodeError as error:
        raise UsageError(str(error)) from error


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` instead of printing the usage."""
        found = re.search(r"invalid choice: '(.*)' \(choose", message)
        if found is not None:
            raise UsageError(f"There is no command {found[1]!r}{ending(found[1], list(_COMMANDS))}")
        words = message.replace("unrecognized arguments", "not for this command").rstrip(".")
        raise UsageError(f"{words[:1].upper()}{words[1:]}; `{self.prog} --help` lists what is.")


def _check_words(argv: Sequence[str]) -> None:
    """Name the option or command that a misspelt one resembles; argparse would complain about its value instead."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    for word in options:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in _FLAGS:
            raise UsageError(f"There is no option {flag!r}{ending(flag, list(_FLAGS))}")


class _Version(argparse.Action):
    """Prints the version; looked up only when asked for, since reading a package's metadata takes time."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"lamella {version('lamella')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = shared.add_argument_group("options")
    for setting in SETTINGS:
        if setting.name == "peers":
            group.add_argument(
                setting.flag, dest="peers", metavar=setting.metavar, action="append", help=setting.help
            )
        elif setting.metavar:
            group.add_argument(setting.flag, dest=setting.name, metavar=setting.metavar, help=setting.help)
        else:
            action = argparse.BooleanOptionalAction
            group.add_argument(setting.flag, dest=setting.name, action=action, help=setting.help)
    group.add_argument(
        "--config", metavar="FILE", help="read this configuration file instead of the usual one"
    )
    about: dict[str, Any] = {
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "epilog": _EPILOG.format(file="~/.config/lamella/config.toml", codes=_codes()),
        "allow_abbrev": False,
        "parents": [shared],
    }
    parser = _Parser(
        prog="lamella",
        description="Ask large language models whose layers run on many people's machines.\n"
        "Without a command: the screen, to talk with a model.",
        **about,
    )
    parser.add_argument(
        "--version", nargs=0, action=_Version, default=argparse.SUPPRESS, help="show the version and end"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    asking = commands.add_parser(
        "ask",
        help="ask one question; the answer goes to standard output",
        description="Ask one question. The answer goes to standard output as it is made.",
        **about,
    )
    asking.add_argument(
        "words", nargs="*", metavar="QUESTION", help="the question; - stands for standard input"
    )
    asking.add_argument("--json", action="store_true", help="print every event as a line of JSON")
    asking.add_argument(
        "--route", action="store_true", help="show on standard error which host computes what"
    )
    asking.add_argument("--stats", action="store_true", help="show on standard error where the time went")
    for name, what in _LOOKS.items():
        looking = commands.add_parser(name, help=what, description=what[:1].upper() + what[1:] + ".", **about)
        looking.add_argument("--json", action="store_true", help="print one JSON object")
        looking.add_argument(
            "--watch", action="store_true", help="look again every few seconds, until Ctrl-C"
        )
    _add_planning(commands)
    return parser


def _add_planning(commands: Any) -> None:
    from node.planning.example import EXAMPLE

    planning = commands.add_parser(
        "plan",
        help="propose which machine serves which layers, and how fast that should be",
        description="Propose which machine should serve which layers of a model, from the memory, speed and links of\n"
        "the machines, with the tokens/s to expect and the reason.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_PLAN_EPILOG.format(example=textwrap.indent(EXAMPLE, "  "), codes=_codes()),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    planning.add_argument("planned", metavar="MODEL", help="pocket, or the folder of a checkpoint")
    planning.add_argument("--machines", metavar="FILE", help="what machines there are, in TOML; see below")
    for setting in PLANNING.values():
        if setting.metavar:
            planning.add_argument(setting.flag, dest=setting.name, metavar=setting.metavar, help=setting.help)
        else:
            action = argparse.BooleanOptionalAction
            planning.add_argument(setting.flag, dest=setting.name, action=action, help=setting.help)
    planning.add_argument("--json", action="store_true", help="print the plan as one JSON object")


def _codes() -> str:
    """List the exit codes with what they mean: each error's own docstring."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ChatError)]
    lines = {0: "The answer is whole."}
    lines |= {
        kind.exit_code: (kind.__doc__ or "").partition("\n")[0].partition(" `exit_code`")[0] for kind in kinds
    }
    lines |= {INTERRUPTED: "Interrupted with Ctrl-C.", PIPE_CLOSED: "Nobody reads the answer any more."}
    return "\n".join(f"  {code:>3}  {meaning}" for code, meaning in sorted(lines.items()))
