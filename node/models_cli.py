"""The command lines of `lamella-node models` and `publish`: words in, values out. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import command_line
from wire.contacts import Contact
from wire.errors import InvalidValue
from wire.types import DEFAULT_NETWORK, ModelId

MODELS: Final = "models"
PUBLISH: Final = "publish"
_MODELS_EPILOG: Final = """\
examples:
  lamella-node models                       what is here, how much of it, and who uses it
  lamella-node models --check               read every chunk and say which are damaged
  lamella-node models --repair --peer 192.0.2.10:7311
  lamella-node models --prune 20G           remove what nobody uses, oldest use first

What a running host serves is never removed. exit codes: 0 done, 1 something is damaged or could not
be done, 2 wrong usage, 130 interrupted
"""
_PUBLISH_EPILOG: Final = """\
examples:
  lamella-node publish ~/models/qwen
  lamella-node publish hf:org/name --out name.manifest

Reads every byte of a checkpoint once and keeps none: the manifest that comes of it names each by its
SHA-256, and its own digest is the model's id. Hosts on this machine then give the manifest to peers,
who need nothing else to check what they fetch, wherever it comes from.

exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsConfig:
    """Everything `lamella-node models` can be told."""

    check: bool = False
    repair: bool = False
    prune_bytes: int | None = None
    forget: ModelId | None = None
    peers: tuple[Contact, ...] = ()
    network: str = DEFAULT_NETWORK
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishConfig:
    """Everything `lamella-node publish` can be told."""

    model: str
    out: Path | None = None
    json: bool = False


def parse_models(arguments: Sequence[str]) -> ModelsConfig:
    """Read the words after `models`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    parser = _parser(MODELS, "Show and tend the weights that were fetched.", _MODELS_EPILOG, arguments)
    add = parser.add_argument
    add("--check", action="store_true", help="read every chunk and compare it with its name")
    add("--repair", action="store_true", help="the same, and fetch what is damaged anew")
    add(
        "--prune",
        type=command_line.size_or_zero,
        metavar="SIZE",
        help="remove what nobody uses until the rest takes at most SIZE, as in 20G or 0",
    )
    add(
        "--forget",
        type=_model_id,
        metavar="ID",
        help="drop a model from the list; its chunks go with --prune",
    )
    add(
        "--peer",
        type=command_line.contact,
        action="append",
        default=[],
        dest="peers",
        metavar="IP:PORT",
        help="a host to repair from, besides the hub; may be repeated",
    )
    add(
        "--network", type=command_line.network, default=DEFAULT_NETWORK, metavar="NAME", help="of those hosts"
    )
    words = parser.parse_args(arguments)
    return ModelsConfig(
        check=words.check,
        repair=words.repair,
        prune_bytes=words.prune,
        forget=words.forget,
        peers=tuple(words.peers),
        network=words.network,
        json=words.json,
    )


def parse_publish(arguments: Sequence[str]) -> PublishConfig:
    """Read the words after `publish`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    parser = _parser(
        PUBLISH, "Describe a model so that every byte of it can be checked.", _PUBLISH_EPILOG, arguments
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="`pocket`, a folder, or hf:org/name[@revision]")
    add("--out", type=Path, metavar="FILE", help="write the manifest to a file too; an existing one is kept")
    words = parser.parse_args(arguments)
    return PublishConfig(model=words.model, out=words.out, json=words.json)


def _parser(command: str, description: str, epilog: str, arguments: Sequence[str]) -> command_line.Parser:
    parser = command_line.Parser(
        prog=f"lamella-node {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.as_json = "--json" in arguments
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    return parser


def _model_id(text: str) -> ModelId:
    try:
        return ModelId.parse(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error
