"""Settles what a host is told: what was said in the file, the environment and the flags becomes one `NodeConfig`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from node import readers
from node.config import NodeConfig, SliceRequest
from node.config_file import read_table, underscored
from node.discovery.join_string import read_join_string
from node.errors import ConfigError, NodeError, UnknownKey
from node.settings import BY_NAME, LAYERS, MODEL, MOST_LISTENED, OWN, SETTINGS, SLICE, Setting
from wire import limits
from wire.contacts import Contact
from wire.types import DEFAULT_NETWORK

_LISTED: Final = "`lamella-node --help` lists what there is"
_SLICE_KEYS: Final = {setting.name: setting for setting in (MODEL, LAYERS)}


def settle(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Path | None,
    *,
    required: bool = False,
) -> NodeConfig:
    """Return what holds when all places are taken together. Blocks on the disk.

    Args:
        flags: values from the command line by setting name, only those given; slices as `SliceRequest`s already.
        file: the configuration file; None for none.
        required: whether it must exist.

    Raises:
        ConfigError: something said cannot be used, or does not go with something else.
        DiscoveryError: the join string cannot be used.
    """
    said = {} if file is None else _from_file(file, required=required)
    said |= _from_environment(environment)
    for name, value in flags.items():
        said[name] = value if name == SLICE.name else _value(BY_NAME[name], value, BY_NAME[name].flag)
    network, invited = _network(said.pop("network", None), said.pop("join", None))
    fields: dict[str, Any] = {}
    for name, value in said.items():
        fields |= (SLICE if name == SLICE.name else BY_NAME[name]).fields(value)
    config = NodeConfig(**{"slices": ()} | fields, network=network, invited=invited)
    _check(config)
    return config


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return what to do about an unknown word: write the known one that is near, if one is."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else _LISTED


def _from_file(file: Path, *, required: bool) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, value in read_table(file, required=required).items():
        if name == SLICE.name:
            said[name] = _slices(file, value)
        elif name in BY_NAME:
            said[name] = _value(BY_NAME[name], value, f"{file}: {BY_NAME[name].key}")
        else:
            known = (SLICE.key, *(setting.key for setting in SETTINGS))
            key = name.replace("_", "-")
            raise UnknownKey(
                f"{file}: there is no key {key!r}",
                "a model to serve stands below [[slice]]" if name in _SLICE_KEYS else suggestion(key, known),
            )
    return said


def _slices(file: Path, tables: object) -> tuple[SliceRequest, ...]:
    """Read the [[slice]] tables."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            f"{file}: slice must be a table", "write it as [[slice]], a line for each key below it"
        )
    found: list[SliceRequest] = []
    for number, table in enumerate(tables, 1):
        where = f"{file}: [[slice]] {number}"
        values: dict[str, Any] = {}
        for key, value in table.items():
            name = underscored(key)
            if name not in _SLICE_KEYS:
                raise UnknownKey(
                    f"{where}: a slice has no key {key!r}",
                    "write it above the first [[slice]]" if name in BY_NAME else suggestion(key, _SLICE_KEYS),
                )
            values[name] = _value(_SLICE_KEYS[name], value, f"{where}: {key}")
        if "model" not in values:
            raise ConfigError(f"{where} names no model", 'write model = "pocket" there')
        found += _requests(values["model"], values.get("layers", ()))
    return tuple(found)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    known = {variable for setting in (*SETTINGS, MODEL, LAYERS) for variable in setting.variables}
    for variable in environment:
        if variable.startswith(OWN) and variable not in known:
            raise UnknownKey(f"there is no variable {variable}", suggestion(variable, known))
    said: dict[str, Any] = {}
    for setting in (*SETTINGS, MODEL, LAYERS):
        for variable in setting.variables:
            if environment.get(variable):
                said[setting.name] = _value(setting, environment[variable], variable)
    model, ranges = said.pop("model", None), said.pop("layers", ())
    if model is not None:
        said[SLICE.name] = tuple(_requests(model, ranges))
    elif ranges:
        raise ConfigError(f"{LAYERS.variable} belongs to {MODEL.variable}", "set both, or neither")
    return said


def _requests(model: str, ranges: Iterable[Any]) -> list[SliceRequest]:
    return [SliceRequest(model, one) for one in ranges] or [SliceRequest(model, None)]


def _value(setting: Setting, value: object, where: str) -> object:
    try:
        return setting.read(value)
    except ValueError as error:
        raise ConfigError(readers.complaint(error, value, where), _LISTED) from error
    except NodeError as error:
        raise ConfigError(f"{where}: {error.cause}", error.next_step) from error


def _network(network: str | None, join: str | None) -> tuple[str, tuple[Contact, ...]]:
    """The network to be in, and whom a join string names."""
    if join is None:
        return network or DEFAULT_NETWORK, ()
    invitation = read_join_string(join, network)
    return invitation.network, invitation.contacts


def _check(config: NodeConfig) -> None:
    """What only shows when everything is together."""
    slices = config.slices
    if config.auto and not slices:
        raise ConfigError("--auto chooses the layers of one --model", "name it, as in --model pocket")
    if not (slices or config.relay or config.controls):
        raise ConfigError(
            "nothing to serve, and no control socket to be told so later",
            "give --model pocket --layers 6:12, or a [[slice]] in the file",
        )
    if len(slices) > limits.MAX_SLICES_PER_PEER:
        raise ConfigError(
            f"at most {limits.MAX_SLICES_PER_PEER} slices can be served by one process", "leave some out"
        )
    if config.auto and (len(slices) != 1 or slices[0].layers is not None):
        raise ConfigError("--auto chooses the layers of one --model", "leave out --layers")
    if config.memory_bytes is not None and not config.auto:
        raise ConfigError(
            "--memory is for --auto", "use --kv-memory to bound the sessions of layers that are named"
        )
    if len(config.listen) > MOST_LISTENED:
        raise ConfigError(f"at most {MOST_LISTENED} addresses can be listened at", "leave some out")
