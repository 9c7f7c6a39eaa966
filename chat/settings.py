"""What a person can choose, and where they can say it: the configuration file, the environment, the command line.

Each setting is one row of `SETTINGS`; the file's key, the variable and the flag follow from its name, and all three are
read by the same parser. What is said later in this order wins: defaults, file, environment, flags.
"""

from __future__ import annotations

import difflib
import secrets
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chat.errors import UsageError
from node import readers
from node.readers import DTYPES, number, size, switch, text, texts, whole
from wire.tensors import WeightFormat

if TYPE_CHECKING:
    from chat.driver import ClientOptions
    from wire.contacts import Contact

# `lamella --help` builds the parser from this module, so it imports nothing that takes long.


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be chosen."""

    name: str
    """Its key in the file, and its field in `ClientOptions` or `Sampling`."""
    read: Callable[[object], object]
    """Checks a value and returns it as it is used; raises `ValueError` with what was expected."""
    metavar: str
    """What the value is, on the command line; empty for a flag that takes none."""
    help: str

    @property
    def flag(self) -> str:
        """The option on the command line; one that can be repeated is named in the singular."""
        return "--peer" if self.name == "peers" else "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return f"LAMELLA_{self.name.upper()}"


SETTINGS: Final = (
    Setting(
        "model", text, "MODEL", "pocket, a folder, hf:org/name[@revision], or a model id (default: pocket)"
    ),
    Setting("peers", texts, "PEER", "a host to ask first, IP:PORT or PEERID@IP:PORT; may be repeated"),
    Setting(
        "front_layers", whole(0), "N", "layers to compute on this machine, after the embedding (default: 1)"
    ),
    Setting("private_ends", switch, "", "also keep the head here, so that no host sees a token"),
    Setting("allow_tokens", switch, "", "let hosts see the text in plain, where a model's layers need it"),
    Setting("temperature", number(0, 100), "T", "0 always takes the likeliest token (default: 0)"),
    Setting("top_k", whole(0, 4_000_000), "K", "draw from the K likeliest tokens; 0 is all (default: 0)"),
    Setting("top_p", number(0, 1), "P", "draw from the likeliest tokens that make up P (default: 1)"),
    Setting("min_p", number(0, 1), "P", "drop tokens less likely than P times the likeliest (default: 0)"),
    Setting(
        "seed", whole(0, (1 << 64) - 1), "N", "repeat the draws of another time (default: new each time)"
    ),
    Setting("max_tokens", whole(1), "N", "longest answer, in tokens (default: 512)"),
    Setting("context", whole(2), "N", "positions to reserve at each host (default: the model's, up to 4096)"),
    Setting("dtype", readers.dtype, "DTYPE", f"numerics: {', '.join(DTYPES)} (default: the checkpoint's)"),
    Setting(
        "weights",
        readers.weights,
        "FORMAT",
        f"bits of the weights: {', '.join(one.value for one in WeightFormat)} (default: whatever hosts have)",
    ),
    Setting("system", text, "TEXT", "a system message to begin with"),
    Setting("join", text, "STRING", "a join string, lamella:..., which names a network and hosts of it"),
    Setting(
        "network", text, "NAME", "network of hosts to speak with (default: that of --join, or else main)"
    ),
    Setting("lan", switch, "", "look for hosts on the local network (default: yes)"),
    Setting("bootstrap", readers.path, "FILE", "a signed list of hosts to begin with"),
    Setting("bootstrap_key", text, "HEX", "whose list is believed, by the Ed25519 public key"),
    Setting("identity", readers.path, "FILE", "file of this machine's identity"),
    Setting("threads", whole(1), "N", "threads for the layers computed here"),
    Setting(
        "disk", size, "SIZE", "the most that fetched weights may take on disk, as in 20G (default: no bound)"
    ),
    Setting("download_rate", size, "SIZE", "bytes a second to fetch weights with, as in 10M"),
    Setting(
        "dht",
        switch,
        "",
        "find hosts by those that are known, beside those named with --peer (default: yes)",
    ),
    Setting("offline", switch, "", "fetch no weights; use those that are here"),
    Setting(
        "control",
        readers.path,
        "PATH",
        "control socket of this machine's own host, which the screen shows on Ctrl+O (default: the usual one)",
    ),
)
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
PLANNING: Final = {
    "weights": replace(_BY_NAME["weights"], help="bits of the weights (default: the most that fit)"),
    "context": _BY_NAME["context"],
    "sessions": Setting("sessions", whole(1, 256), "N", "sessions at once to have memory for (default: 1)"),
    "front_layers": replace(
        _BY_NAME["front_layers"], help="layers that the client computes (default: as many as is fastest)"
    ),
    "private_ends": replace(_BY_NAME["private_ends"], help="the client also keeps the head"),
}
"""What `lamella plan` can be told, on the command line alone."""


def load(
    flags: Mapping[str, object], environment: Mapping[str, str], file: Path, *, required: bool
) -> ClientOptions:
    """Return the options said in all places together.

    Args:
        flags: Values from the command line by setting name; only those that were given.
        required: Whether `file` must exist.

    Raises:
        UsageError: A value cannot be used; the sentence says where it was written and what is expected.
    """
    values = _from_file(file, required=required)
    for setting in SETTINGS:
        if environment.get(setting.variable):
            values[setting.name] = _value(setting, environment[setting.variable], setting.variable)
    for name, value in flags.items():
        values[name] = _value(_BY_NAME[name], value, _BY_NAME[name].flag)
    return _options(values)


def checked(name: str, value: object) -> object:
    """A value of `PLANNING` as it is used. Raises `UsageError`."""
    return _value(PLANNING[name], value, PLANNING[name].flag)


def _from_file(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if required:
            raise UsageError(f"There is no configuration file {file}.") from error
        return {}
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in _BY_NAME:
            raise UsageError(f"{file}: there is no setting {key!r}{ending(name, list(_BY_NAME))}")
        values[name] = _value(_BY_NAME[name], value, f"{file}: {key}")
    return values


def ending(word: str, known: list[str]) -> str:
    """Return how a sentence about an unknown `word` ends: with the known word that is near, if one is."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "."


def _value(setting: Setting, value: object, where: str) -> object:
    try:
        return setting.read(value)
    except ValueError as error:
        raise UsageError(f"{readers.complaint(error, value, where)}.") from error


def _options(values: dict[str, Any]) -> ClientOptions:
    from chat.driver import ClientOptions
    from wire.types import Sampling

    values = {"model": "pocket", "lan": True, **values}
    contacts = tuple(_contact(peer) for peer in values.pop("peers", ()))
    values |= _invitation(values.pop("join", None), values.get("network"))
    if "bootstrap_key" in values:
        values["signer"] = _signer(values.pop("bootstrap_key"))
    identity = values.pop("identity", None)
    drawn = {
        name: values.pop(name)
        for name in ("temperature", "top_k", "top_p", "min_p", "seed")
        if name in values
    }
    if drawn.get("temperature") and "seed" not in drawn:
        drawn["seed"] = secrets.randbits(64)
    return ClientOptions(contacts=contacts, identity_file=identity, sampling=Sampling(**drawn), **values)


def _contact(text: str) -> Contact:
    from wire.contacts import Contact
    from wire.errors import InvalidValue

    try:
        return Contact.parse(text)
    except InvalidValue as error:
        raise UsageError(f"Peer {text}: {error}.") from error


def _invitation(text: str | None, network: str | None) -> dict[str, Any]:
    """The network and contacts of a join string; nothing where none is given."""
    if text is None:
        return {}
    from node.discovery.errors import DiscoveryError
    from node.discovery.join_string import read_join_string

    try:
        invitation = read_join_string(text, network)
    except DiscoveryError as error:
        raise UsageError(str(error)) from error
    return {"network": invitation.network, "invited": invitation.contacts}


def _signer(text: str) -> bytes:
    from node.discovery.bootstrap import bootstrap_key
    from node.discovery.errors import DiscoveryError

    try:
        return bootstrap_key(text)
    except DiscoveryError as error:
        raise UsageError(str(error)) from error
