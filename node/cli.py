"""The command line of `lamella-node`: words in, a `NodeConfig` out. Imports nothing heavy, so that help is instant."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node import command_line, readers
from node.errors import NodeError
from node.settings import MODEL, SETTINGS, SLICE, Setting

if TYPE_CHECKING:
    from node.config import NodeConfig
    from wire.types import LayerRange

_EPILOG: Final = """\
examples:
  lamella-node --model pocket --layers 6:12 --listen 127.0.0.1:7311
  lamella-node --model pocket --layers 0:6 --layers 12:18 --model ~/models/qwen --layers 4:8
  lamella-node --model hf:org/name --layers 0:12 --peer 192.0.2.10:7311 --disk 20G
  lamella-node ctl status             what the host that runs does; `ctl --help` lists what it can be told
  lamella-node service --help         start a host with this machine, and keep it running
  lamella-node doctor                 whether a host can work here, and is well; `diagnostics` makes a report
  lamella-node suggest                what this machine could host, measured
  lamella-node                        waits to be told: lamella-node ctl join pocket --layers 6:12
  lamella-node --relay                only carries links for peers that nobody can dial
  lamella-node models                 what fetched weights are here
  lamella-node publish --help         describe a model once, so that others can check every byte of it
  lamella-node quantise --help        make a smaller folder of a checkpoint, once, for hosts to load

A MODEL is `pocket`, the folder of a checkpoint, hf:org/name or hf:org/name@revision on a hub,
or a model id (b...), whose bytes come from peers. Only what the layers need is fetched.

--layers belongs to the --model before it; a --model without --layers is served whole.
On SIGTERM or Ctrl-C the host takes no new session, lets answers under way finish within
the grace and says how many it cut off; a second signal stops at once.

All options but --config can also be written in ~/.config/lamella/node.toml, as in
    disk = "20G"
    peers = ["192.0.2.10:7311"]
    [[slice]]
    model = "pocket"
    layers = ["6:12"]
or in the environment, as LAMELLA_NODE_DISK. Options win over the environment, and the
environment wins over the file. docs/configuration.md in the repository has the whole table.

exit codes: 0 stopped when asked, 1 could not start or go on, 2 wrong usage
"""


def parse(arguments: Sequence[str] | None = None) -> NodeConfig:
    """Read the command line, and the file and environment below it.

    Exits with 2 and a sentence on wrong usage, with 0 after `--help` or `--version`.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(as_json="--json" in given)
    try:
        return _settled(parser.parse_args(given))
    except NodeError as error:
        parser.refuse(str(error))


def parse_again(arguments: Sequence[str]) -> NodeConfig:
    """Read the same again, since the file may say something else now. Blocks on the disk.

    Args:
        arguments: words that `parse` took.

    Raises:
        NodeError: what the file says cannot be used.
    """
    return _settled(_parser(as_json=False).parse_args(list(arguments)))


def _settled(words: argparse.Namespace) -> NodeConfig:
    from node.config import SliceRequest
    from node.config_file import usual_file
    from node.settling import settle

    flags = vars(words)
    file = flags.pop("config", None)
    if SLICE.name in flags:
        flags[SLICE.name] = tuple(
            SliceRequest(model, layers) for model, ranges in flags[SLICE.name] for layers in ranges or (None,)
        )
    if file is not None:
        return settle(flags, os.environ, Path(file).expanduser(), required=True)
    return settle(flags, os.environ, usual_file())


def _parser(*, as_json: bool) -> command_line.Parser:
    parser = command_line.Parser(
        prog="lamella-node",
        description="Serve layers of a language model to the peers of a swarm.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.as_json = as_json
    add = parser.add_argument
    add("--version", nargs=0, action=_Version, help="show the version and end")
    add("--config", metavar="FILE", help="read this file instead of ~/.config/lamella/node.toml")
    add(
        "--model",
        action=_Model,
        dest=SLICE.name,
        metavar=MODEL.metavar,
        help=f"{MODEL.help}; may be repeated",
    )
    add(
        "--layers",
        action=_Layers,
        dest=SLICE.name,
        metavar="START:END",
        help="layers of that model to serve, as in 6:12; may be repeated (default: all of them)",
    )
    for setting in SETTINGS:
        _add(parser, setting)
    return parser


def _add(parser: argparse.ArgumentParser, setting: Setting) -> None:
    """Make the flag of one setting. Its value stays as it was written; it is read where all places are joined."""
    told = f"{setting.help}{'; may be repeated' if setting.repeats else ''} (default: {setting.default})"
    told = told.replace("%", "%%")
    if setting.metavar:
        action = "append" if setting.repeats else "store"
        parser.add_argument(
            setting.flag, dest=setting.name, action=action, metavar=setting.metavar, help=told
        )
    else:
        parser.add_argument(*setting.flags, dest=setting.name, nargs=0, action=_Switch, help=told)


class _Version(argparse.Action):
    """Prints the version; looked up only when asked for, since reading a package's metadata takes time."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"lamella-node {version('lamella')}\n")
        parser.exit()


class _Switch(argparse.Action):
    """Hears whether it was the flag, or the one that says the opposite."""

    def __call__(self, _parser: Any, namespace: Any, _values: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, option == self.option_strings[0])


class _Model(argparse.Action):
    """Begins a new model in the list of slices."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: str | None = None) -> None:
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, ()), (values, [])])


class _Layers(argparse.Action):
    """Adds a range to the model before it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, _option: str | None = None) -> None:
        slices: list[tuple[str, list[LayerRange]]] = getattr(namespace, self.dest, [])
        if not slices:
            parser.error("--layers comes after the --model it belongs to")
        try:
            slices[-1][1].append(readers.layers(values))
        except ValueError as error:
            parser.error(readers.complaint(error, values, "--layers"))
