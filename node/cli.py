"""The command line of `lamella-node`: words in, a `NodeConfig` out. Imports nothing heavy, so that help is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from node import command_line
from node.config import DEFAULT_GRACE_S, DTYPES, USUAL_LISTEN, NodeConfig, SliceRequest
from node.discovery.errors import DiscoveryError
from node.discovery.join_string import read_join_string
from node.slices.spec import CPU, is_device
from wire import limits
from wire.contacts import Contact
from wire.tensors import WeightFormat
from wire.types import DEFAULT_NETWORK, Address, LayerRange

MOST_LISTENED: Final = 4
_EPILOG: Final = """\
examples:
  lamella-node --model pocket --layers 6:12 --listen 127.0.0.1:7311
  lamella-node --model pocket --layers 0:6 --layers 12:18 --model ~/models/qwen --layers 4:8
  lamella-node --model hf:org/name --layers 0:12 --peer 192.0.2.10:7311 --disk 20G
  lamella-node models                 what fetched weights are here
  lamella-node publish --help         describe a model once, so that others can check every byte of it
  lamella-node quantise --help        make a smaller folder of a checkpoint, once, for hosts to load

A MODEL is `pocket`, the folder of a checkpoint, hf:org/name or hf:org/name@revision on a hub,
or a model id (b...), whose bytes come from peers. Only what the layers need is fetched.

--layers belongs to the --model before it; a --model without --layers is served whole.
On SIGTERM or Ctrl-C the host takes no new session, lets answers under way finish within
the grace and says how many it cut off; a second signal stops at once.

exit codes: 0 stopped when asked, 1 could not start or go on, 2 wrong usage
"""


def parse(arguments: Sequence[str] | None = None) -> NodeConfig:
    """Read the command line. Exits with 2 and a sentence on wrong usage, with 0 after `--help` or `--version`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(as_json="--json" in given)
    words = parser.parse_args(given)
    slices: list[SliceRequest] = []
    for model, ranges in words.slices or []:
        slices += [SliceRequest(model, layers) for layers in ranges] or [SliceRequest(model, None)]
    if not slices:
        parser.error("nothing to serve; give --model pocket --layers 6:12")
    if len(slices) > limits.MAX_SLICES_PER_PEER:
        parser.error(f"at most {limits.MAX_SLICES_PER_PEER} slices can be served by one process")
    if words.auto and (len(slices) != 1 or slices[0].layers is not None):
        parser.error("--auto chooses the layers of one --model, so leave out --layers")
    if words.memory is not None and not words.auto:
        parser.error("--memory is for --auto; --kv-memory bounds the sessions of layers that are named")
    network, invited = _network(parser, words.network, words.join)
    if len(words.listen) > MOST_LISTENED:
        parser.error(f"at most {MOST_LISTENED} addresses can be listened at")
    return NodeConfig(
        slices=tuple(slices),
        listen=tuple(words.listen),
        identity_file=words.identity,
        network=network,
        dtype=words.dtype,
        weights=None if words.weights is None else WeightFormat(words.weights),
        threads=words.threads,
        device=words.device,
        kv_bytes=words.kv_memory,
        auto=words.auto,
        memory_bytes=words.memory,
        peers=tuple(words.peers),
        share=words.share or None,
        shares=words.share is not False,
        disk_bytes=words.disk,
        download_bytes_per_s=words.download_rate,
        upload_bytes_per_s=words.upload_rate,
        invited=invited,
        bootstrap=words.bootstrap,
        signer=words.bootstrap_key,
        lan=not words.no_lan,
        listed=not words.unlisted,
        maps=not words.no_map,
        relay=words.relay,
        dht=not words.no_dht,
        offline=words.offline,
        grace_s=words.grace,
        json=words.json,
    )


def _parser(*, as_json: bool) -> argparse.ArgumentParser:
    parser = command_line.Parser(
        prog="lamella-node",
        description="Serve layers of a language model to the peers of a swarm.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.as_json = as_json
    add = parser.add_argument
    add("--version", action="version", version=f"lamella-node {version('lamella')}")
    add(
        "--model",
        action=_Model,
        dest="slices",
        metavar="MODEL",
        help="`pocket`, a folder, hf:org/name[@revision], or a model id; may be repeated",
    )
    add(
        "--layers",
        action=_Layers,
        dest="slices",
        metavar="START:END",
        help="layers of that model to serve, as in 6:12; may be repeated",
    )
    add(
        "--listen",
        type=command_line.address,
        action="append",
        default=[],
        metavar="IP:PORT",
        help=f"where to take links and datagrams; may be repeated, as for [::]:7311; port 0 picks a free one "
        f"(default {USUAL_LISTEN}, or a free port when that is taken)",
    )
    add(
        "--identity", type=Path, metavar="FILE", help="identity file (default: the one shared with `lamella`)"
    )
    add(
        "--network",
        type=command_line.network,
        metavar="NAME",
        help="peers of another network are refused, and get no weights (default: that of --join, or else main)",
    )
    add("--dtype", choices=DTYPES, help="numerics to compute in (default: the checkpoint's)")
    add(
        "--weights",
        choices=[one.value for one in WeightFormat],
        metavar="FORMAT",
        help="bits of the weights: native, int8, int4-32, int4-64 or int4-128 (default: as the folder has them); "
        "fewer are faster and smaller, and change the answers a little; they need bfloat16",
    )
    add(
        "--device",
        type=_device,
        default=CPU,
        metavar="DEVICE",
        help="where to hold and compute the layers: cpu, cuda or cuda:N (default cpu); a GPU needs a CUDA build of "
        "torch, and is untested so far",
    )
    add("--threads", type=command_line.threads, metavar="N", help="compute threads (default: one per core)")
    add(
        "--kv-memory",
        type=command_line.size,
        metavar="SIZE",
        help="memory for sessions, as in 512M or 4G (default 1G; on a GPU half of what the layers leave free)",
    )
    add(
        "--auto",
        action="store_true",
        help="choose the layers: those that fit and that the hosts named with --peer lack most; later others, "
        "when that helps and leaves no gap",
    )
    add(
        "--memory",
        type=command_line.size,
        metavar="SIZE",
        help="with --auto: memory for this process, sessions included (default: three quarters of what is free)",
    )
    add(
        "--peer",
        type=command_line.contact,
        action="append",
        default=[],
        dest="peers",
        metavar="PEER",
        help="a peer that is known, IP:PORT or PEERID@IP:PORT, to find others by and get weights from; may be repeated",
    )
    add("--join", metavar="STRING", help="a join string, lamella:..., which names a network and peers of it")
    add(
        "--no-lan", action="store_true", help="neither look for peers on the local network nor be found there"
    )
    add("--bootstrap", type=Path, metavar="FILE", help="a signed list of peers to begin with")
    add(
        "--bootstrap-key",
        type=command_line.signer,
        metavar="HEX",
        help="whose list is believed, by the Ed25519 public key",
    )
    add(
        "--no-map",
        action="store_true",
        help="do not ask the router to let others through (by PCP, NAT-PMP or UPnP)",
    )
    add(
        "--relay",
        action="store_true",
        help="carry links for peers that nobody can dial; what that may take is bounded (specs/reachability.md)",
    )
    add("--unlisted", action="store_true", help="peers do not tell others of this host, only its records do")
    add(
        "--share",
        type=_share,
        default=None,
        metavar="IP:PORT",
        help="where to give weights to peers, or `off` (default: beside --listen, at any free port)",
    )
    add(
        "--disk",
        type=command_line.size,
        metavar="SIZE",
        help="the most that fetched weights may take on disk (default: no bound); what was used longest ago goes first",
    )
    add(
        "--download-rate",
        type=command_line.size,
        metavar="SIZE",
        help="bytes a second to fetch weights with, as in 10M",
    )
    add(
        "--upload-rate",
        type=command_line.size,
        metavar="SIZE",
        help="bytes a second to give weights with, as in 2M",
    )
    add("--no-dht", action="store_true", help="neither be found nor find others by the DHT")
    add("--offline", action="store_true", help="fetch nothing; use the weights that are here")
    add(
        "--grace",
        type=_seconds,
        default=DEFAULT_GRACE_S,
        metavar="SECONDS",
        help=f"how long answers may go on after a stop is asked for (default {DEFAULT_GRACE_S:g})",
    )
    add("--json", action="store_true", help="status as JSON lines on standard output")
    return parser


def _network(
    parser: argparse.ArgumentParser, network: str | None, join: str | None
) -> tuple[str, tuple[Contact, ...]]:
    """The network to be in, and whom a join string names. Exits with 2 where it is for another network."""
    if join is None:
        return network or DEFAULT_NETWORK, ()
    try:
        invitation = read_join_string(join, network)
    except DiscoveryError as error:
        parser.error(str(error))
    return invitation.network, invitation.contacts


class _Model(argparse.Action):
    """Begins a new model in the list of slices."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: str | None = None) -> None:
        namespace.slices = [*(namespace.slices or []), (values, [])]


class _Layers(argparse.Action):
    """Adds a range to the model before it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, _option: str | None = None) -> None:
        if not namespace.slices:
            parser.error("--layers comes after the --model it belongs to")
        try:
            layers = LayerRange.parse(values)
        except ValueError as error:  # `InvalidValue`, or a number too long for Python to read
            parser.error(f"--layers: {error}")
        if not len(layers):
            parser.error(f"--layers: {values} holds no layer")
        namespace.slices[-1][1].append(layers)


def _share(text: str) -> Address | bool:
    return False if text == "off" else command_line.address(text)


def _device(text: str) -> str:
    if not is_device(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a device; write cpu, cuda, or cuda:0")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from error
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} s is not between 0 and a day")
    return seconds
