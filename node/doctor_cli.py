"""The command lines of `lamella-node doctor`, `diagnostics` and `suggest`. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import command_line
from wire.tensors import WeightFormat
from wire.types import Address

DOCTOR: Final = "doctor"
DIAGNOSTICS: Final = "diagnostics"
SUGGEST: Final = "suggest"
CHECKS: Final = (
    "configuration", "control socket", "identity", "service", "ports", "network", "clock", "disk", "memory",
    "packaged model", "torch build", "kernel speed",
)  # fmt: skip
"""The names of the checks; `node.doctor.checks` makes them in this order."""
MOST_MODELS: Final = 8
_MOST_MBIT: Final = 1_000_000
_DOCTOR: Final = """\
examples:
  lamella-node doctor
  lamella-node doctor --only ports --only disk --listen 192.0.2.10:7311
  lamella-node doctor --json          a line for each check, and one at the end

Looks whether a host can work on this machine as it is configured by file and environment, and whether the one
that runs is well; what is said here goes before what is configured. Changes nothing and
sends nothing to the network. Each check has a time limit, and one that fails does not stop the others.

exit codes: 0 no problem was found, 1 a problem was found, 2 wrong usage, 130 interrupted
"""
_DIAGNOSTICS: Final = """\
examples:
  lamella-node diagnostics
  lamella-node diagnostics --out report.tar.gz

Writes what helps to find a fault into one file: what `doctor` finds, versions, configuration, the end of the
log, and what the running host says. The identity's key, tokens and passwords, prompts, your name and home, and
most of each IP address are taken out; the file lists what is in it. It is sent nowhere: read it, then
give it to whom you like.

exit codes: 0 written, 1 could not be written, 2 wrong usage, 130 interrupted
"""
_SUGGEST: Final = """\
examples:
  lamella-node suggest
  lamella-node suggest --model ~/models/qwen --model hf:org/name
  lamella-node suggest --memory 6G --context 8192 --uplink 20 --downlink 100

Measures this machine for some seconds and says what of a model it could host, in which weights, about how
fast, and with which command. Of a model whose weights are here a layer is loaded and timed; of another only the
config is read, and the speed is an estimate. The rate of your line is not measured: give it if you know it.

exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorConfig:
    """Everything `lamella-node doctor` can be told."""

    only: tuple[str, ...] = ()
    """Names of the checks to make; all when empty."""
    config: Path | None = None
    """The host's configuration file; the usual one when None."""
    identity_file: Path | None = None
    socket: Path | None = None
    listen: tuple[Address, ...] = ()
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    threads: int | None = None
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticsConfig:
    """Everything `lamella-node diagnostics` can be told."""

    out: Path | None = None
    """A name with the time in this folder when None."""
    doctor: DoctorConfig = DoctorConfig()
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestConfig:
    """Everything `lamella-node suggest` can be told."""

    models: tuple[str, ...] = ()
    """Beside the packaged one."""
    memory_bytes: int | None = None
    """What Lamella may take; three quarters of what is free when None."""
    weights: WeightFormat | None = None
    context: int | None = None
    threads: int | None = None
    uplink_mbit: float | None = None
    downlink_mbit: float | None = None
    json: bool = False


def parse_doctor(arguments: Sequence[str]) -> DoctorConfig:
    """Read the words after `doctor`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    parser = _parser(DOCTOR, "Look whether a host can work on this machine, and is well.", _DOCTOR, arguments)
    _add_subject(parser)
    words = parser.parse_args(arguments)
    return _doctor(words)


def parse_diagnostics(arguments: Sequence[str]) -> DiagnosticsConfig:
    """Read the words after `diagnostics`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    parser = _parser(
        DIAGNOSTICS, "Put what helps to find a fault into a file, without secrets.", _DIAGNOSTICS, arguments
    )
    _add_subject(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to write; an existing file is never replaced"
    )
    words = parser.parse_args(arguments)
    return DiagnosticsConfig(out=words.out, doctor=_doctor(words), json=words.json)


def parse_suggest(arguments: Sequence[str]) -> SuggestConfig:
    """Read the words after `suggest`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    parser = _parser(
        SUGGEST, "Measure this machine and say what of a model it could host.", _SUGGEST, arguments
    )
    add = parser.add_argument
    add(
        "--model", action="append", default=[], dest="models", metavar="MODEL",
        help="a folder, hf:org/name[@revision], or the id of a model in the store, beside `pocket`; may be repeated",
    )  # fmt: skip
    add(
        "--memory",
        type=command_line.size,
        metavar="SIZE",
        help="what Lamella may take (default: 3/4 of what is free)",
    )
    add("--weights", type=_weights, metavar="FORMAT", help="native, int8, int4-32...: only this format")
    add(
        "--context",
        type=_context,
        metavar="N",
        help="positions of a session to have memory for (default 4096)",
    )
    add("--threads", type=command_line.threads, metavar="N", help="compute threads (default: one per core)")
    add("--uplink", type=_mbit, metavar="MBIT", help="Mbit/s your line sends at, if you know")
    add("--downlink", type=_mbit, metavar="MBIT", help="Mbit/s your line receives at, if you know")
    words = parser.parse_args(arguments)
    if len(words.models) > MOST_MODELS:
        parser.error(f"at most {MOST_MODELS} models can be looked at in one go")
    return SuggestConfig(
        models=tuple(dict.fromkeys(words.models)),
        memory_bytes=words.memory,
        weights=words.weights,
        context=words.context,
        threads=words.threads,
        uplink_mbit=words.uplink,
        downlink_mbit=words.downlink,
        json=words.json,
    )


def _doctor(words: argparse.Namespace) -> DoctorConfig:
    return DoctorConfig(
        only=tuple(words.only),
        config=words.config,
        identity_file=words.identity,
        socket=words.socket,
        listen=tuple(words.listen),
        disk_bytes=words.disk,
        memory_bytes=words.memory,
        threads=words.threads,
        json=words.json,
    )


def _parser(command: str, description: str, epilog: str, arguments: Sequence[str]) -> command_line.Parser:
    parser = command_line.Parser(
        prog=f"lamella-node {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.as_json = "--json" in arguments
    parser.add_argument("--json", action="store_true", help="JSON lines on standard output")
    return parser


def _add_subject(parser: argparse.ArgumentParser) -> None:
    """What tells which host is looked at: its own options, as far as they matter here."""
    add = parser.add_argument
    add(
        "--only", action="append", default=[], choices=CHECKS, metavar="CHECK",
        help=f"make this check; may be repeated: {', '.join(CHECKS)}",
    )  # fmt: skip
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="the host's configuration (default: ~/.config/lamella/node.toml)",
    )
    add("--identity", type=Path, metavar="FILE", help="identity file (default: what is configured)")
    add(
        "--control",
        "--socket",
        dest="socket",
        type=Path,
        metavar="PATH",
        help="the host's socket (default: what is configured, else in this user's runtime folder)",
    )
    add(
        "--listen", type=command_line.address, action="append", default=[], metavar="IP:PORT",
        help="where the host is to listen; may be repeated",
    )  # fmt: skip
    add("--disk", type=command_line.size, metavar="SIZE", help="the quota of fetched weights")
    add("--memory", type=command_line.size, metavar="SIZE", help="what the host is to take")
    add("--threads", type=command_line.threads, metavar="N", help="compute threads (default: one per core)")


def _weights(text: str) -> WeightFormat:
    try:
        return WeightFormat(text)
    except ValueError as error:
        known = ", ".join(one.value for one in WeightFormat)
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not one of {known}") from error


def _context(text: str) -> int:
    return command_line.number(text, 1, 10**7)


def _mbit(text: str) -> float:
    try:
        found = float(text) if len(text) <= 12 else -1.0
    except ValueError:
        found = -1.0
    if not 0 < found <= _MOST_MBIT:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a rate in Mbit/s, as in 20 or 0.5")
    return found
