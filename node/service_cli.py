"""The command line of `lamella-node service`: words in, values out. Imports nothing heavy.

The words for the host are read here as the host itself will read them, so that a wrong one is told before anything is
written, and not by a service that fails at every start.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node import cli, command_line
from node.config import NodeConfig

SERVICE: Final = "service"
DEFAULT_WAIT_S: Final = 120.0
DEFAULT_LINES: Final = 50
_MOST_LINES: Final = 999_999_999
_MOST_WAIT_S: Final = 24 * 3600
_EPILOG: Final = """\
examples:
  lamella-node service install -- --model pocket --layers 6:12 --listen 192.0.2.10:7311
  lamella-node service status         does it run, since when, what does it do
  lamella-node service logs --follow
  lamella-node service uninstall      stop it and leave nothing; identity and weights stay

`install` makes a service of your own systemd that runs `lamella-node` with the words after `--`, starts it,
and waits until it serves. It needs no root. Installing again replaces it. With lingering, which `install` turns
on where that is allowed, it starts when the machine does.

exit codes: 0 done, 1 could not be done, or `status` finds it not running, 2 wrong usage, 130 interrupted
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallConfig:
    """Everything `lamella-node service install` can be told."""

    words: tuple[str, ...]
    """For the host, as they were given."""
    node: NodeConfig
    """What the host makes of them."""
    linger: bool = True
    wait_s: float = DEFAULT_WAIT_S
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UninstallConfig:
    """Everything `lamella-node service uninstall` can be told."""

    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusConfig:
    """Everything `lamella-node service status` can be told."""

    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsConfig:
    """Everything `lamella-node service logs` can be told."""

    lines: int = DEFAULT_LINES
    follow: bool = False
    json: bool = False


ServiceConfig = InstallConfig | UninstallConfig | StatusConfig | LogsConfig


def parse_service(arguments: Sequence[str]) -> ServiceConfig:
    """Read the words after `service`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    given, behind = list(arguments), None
    if "--" in given:
        at = given.index("--")
        given, behind = given[:at], given[at + 1 :]
    parser = _parser(given)
    # Words that only the host knows may come without `--`; it judges them.
    words, unknown = parser.parse_known_args(given)
    if words.action == "install":
        if behind is not None and unknown:
            parser.error(f"{unknown[0]} is for the host, so it belongs after --")
        return _install(words, tuple(unknown if behind is None else behind))
    if unknown or behind is not None:
        parser.error(f"{(unknown or ['--'])[0]} is not for {words.action}")
    if words.action == "logs":
        return LogsConfig(lines=words.lines, follow=words.follow, json=words.json)
    return (StatusConfig if words.action == "status" else UninstallConfig)(json=words.json)


def _install(words: argparse.Namespace, for_host: tuple[str, ...]) -> InstallConfig:
    return InstallConfig(
        words=for_host,
        node=cli.parse(for_host),
        linger=not words.no_linger,
        wait_s=words.wait,
        json=words.json,
    )


def _parser(given: Sequence[str]) -> command_line.Parser:
    parser = command_line.Parser(
        prog="lamella-node service",
        description="Run lamella-node as a service of your own systemd.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.as_json = "--json" in given
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, what: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=what, description=what, allow_abbrev=False)
        one.add_argument("--json", action="store_true", help="JSON on standard output")
        # A complaint about its words is told like any other.
        one.as_json = parser.as_json
        return one

    install = action("install", "write the service, start it, and wait until it serves")
    install.add_argument(
        "--no-linger", action="store_true", help="run only while you are logged in, not from boot on"
    )
    install.add_argument(
        "--wait",
        type=_wait,
        default=DEFAULT_WAIT_S,
        metavar="SECONDS",
        help=f"how long to wait until it serves (default {DEFAULT_WAIT_S:g}); it goes on when that is over",
    )
    action("uninstall", "stop the service and remove all of it")
    action("status", "how it stands")
    logs = action("logs", "what it wrote")
    logs.add_argument("--follow", "-f", action="store_true", help="go on as it writes more")
    logs.add_argument(
        "--lines", "-n", type=_lines, default=DEFAULT_LINES, metavar="N", help=f"default {DEFAULT_LINES}"
    )
    return parser


def _lines(text: str) -> int:
    return command_line.number(text, 0, _MOST_LINES)


def _wait(text: str) -> float:
    return float(command_line.number(text, 1, _MOST_WAIT_S))
