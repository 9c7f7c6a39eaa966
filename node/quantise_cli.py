"""The command line of `lamella-node quantise`: words in, a `QuantiseConfig` out. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import command_line
from wire.tensors import WeightFormat

COMMAND: Final = "quantise"
DEFAULT_TOKENS: Final = 256
MOST_TOKENS: Final = 65_536
FORMATS: Final = tuple(one for one in WeightFormat if one is not WeightFormat.NATIVE)
_EPILOG: Final = """\
examples:
  lamella-node quantise --model ~/models/qwen --weights int8 --out ~/models/qwen-int8
  lamella-node --model ~/models/qwen-int8 --layers 4:14

The folder is served and used like the checkpoint it was made from, without --weights, and
gives what the checkpoint gives with --weights, bit for bit; a host then reads a half or a
quarter of the bytes. Hosts of either serve one model together.

  int8      8 bits, one scale for each row: hardly a difference
  int4-32   4 bits, a scale and a zero point for each 32 weights; int4-64 and int4-128 are
            smaller and less exact. The head keeps 8 bits.

Afterwards the model reads a text in both forms, token by token, and what the fewer bits cost
is printed and kept in the folder. That takes about as long as the model takes to answer
with as many tokens.

exit codes: 0 done, 1 could not be done, 2 wrong usage, 130 interrupted; unless it is done,
nothing is left behind
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantiseConfig:
    """Everything `lamella-node quantise` can be told."""

    model: str
    """`pocket`, or the folder of a checkpoint."""
    weights: WeightFormat
    out: Path
    text: Path | None = None
    """To measure on; one that ships with the package when None."""
    tokens: int = DEFAULT_TOKENS
    measure: bool = True
    threads: int | None = None
    json: bool = False


def parse(arguments: Sequence[str]) -> QuantiseConfig:
    """Read the words after `quantise`. Exits with 2 and a sentence on wrong usage, with 0 after `--help`."""
    parser = _parser(as_json="--json" in arguments)
    words = parser.parse_args(arguments)
    if words.no_measure and (words.text is not None or words.tokens is not None):
        parser.error("--no-measure leaves no use for --text and --tokens")
    return QuantiseConfig(
        model=words.model,
        weights=WeightFormat(words.weights),
        out=words.out,
        text=words.text,
        tokens=words.tokens or DEFAULT_TOKENS,
        measure=not words.no_measure,
        threads=words.threads,
        json=words.json,
    )


def wanted(arguments: Sequence[str]) -> bool:
    """Whether a command line of `lamella-node` asks for this command."""
    return list(arguments[:1]) == [COMMAND]


def _parser(*, as_json: bool) -> argparse.ArgumentParser:
    parser = command_line.Parser(
        prog=f"lamella-node {COMMAND}",
        description="Write a checkpoint with weights of fewer bits, for hosts to load in less time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.as_json = as_json
    add = parser.add_argument
    add("--model", required=True, metavar="MODEL", help="`pocket`, or the folder of a checkpoint")
    add("--weights", required=True, choices=[one.value for one in FORMATS], help="what to keep matrices in")
    add("--out", required=True, type=_folder, metavar="FOLDER", help="folder to make; must be new or empty")
    add(
        "--text",
        type=_folder,
        metavar="FILE",
        help="text in UTF-8 to measure on (default: one that ships with this program)",
    )
    add(
        "--tokens",
        type=_tokens,
        metavar="N",
        help=f"how many tokens of the text to read (default {DEFAULT_TOKENS})",
    )
    add("--no-measure", action="store_true", help="do not measure what the fewer bits cost")
    add(
        "--threads",
        type=command_line.threads,
        metavar="N",
        help="threads for computing (default: one per core)",
    )
    add("--json", action="store_true", help="status as JSON lines on standard output")
    return parser


def _folder(text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # the home of a user that does not exist
        raise argparse.ArgumentTypeError(str(error)) from error
    if not path.name:
        raise argparse.ArgumentTypeError(f"{text!r} names no file or folder")
    return path


def _tokens(text: str) -> int:
    return command_line.number(text, 2, MOST_TOKENS)
