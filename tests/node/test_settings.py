from __future__ import annotations

import dataclasses

import pytest

from chat import settings as client
from node.config import NodeConfig
from node.settings import BY_NAME, LAYERS, MODEL, OWN, RELOADABLE, SETTINGS, SLICE, Reload
from node.settling import settle

EMPTY = NodeConfig(slices=())
IN_WORDS = {
    "listen", "identity", "network", "dtype", "weights", "threads", "nice", "kv_memory", "memory", "peers", "join",
    "bootstrap", "bootstrap_key", "share", "disk", "download_rate", "upload_rate", "control",
    "hours", "busy_above", "tokens_per_peer",
}  # fmt: skip
"""Settings whose default cannot be written, or is not a value."""


def test_every_field_of_the_configuration_has_one_setting() -> None:
    found = [setting.field or setting.name for setting in (SLICE, *SETTINGS)]
    found += [setting.off for setting in SETTINGS if setting.off]
    assert sorted(found) == sorted(field.name for field in dataclasses.fields(NodeConfig))


def test_names_flags_and_variables_are_each_of_one_setting() -> None:
    for words in (
        [setting.name for setting in (*SETTINGS, MODEL, LAYERS, SLICE)],
        [flag for setting in (*SETTINGS, MODEL, LAYERS) for flag in setting.flags],
        [variable for setting in (*SETTINGS, MODEL, LAYERS) for variable in setting.variables],
    ):
        assert len(words) == len(set(words))


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.name not in IN_WORDS])
def test_the_default_in_the_table_is_the_one_that_holds(name: str) -> None:
    setting = BY_NAME[name]
    held = setting.of(EMPTY)
    assert setting.read(setting.default) == (held if held is not False or not setting.off else None)


def test_no_variable_of_the_client_begins_like_those_of_the_host() -> None:
    assert not [one.variable for one in client.SETTINGS if one.variable.startswith(OWN)]


def test_variables_are_shared_only_where_the_client_has_one_too() -> None:
    theirs = {one.variable for one in client.SETTINGS}
    shared = {setting.variables[0] for setting in SETTINGS if setting.shared}
    assert shared <= theirs
    assert {"LAMELLA_NETWORK", "LAMELLA_IDENTITY", "LAMELLA_DISK"} <= shared
    assert not shared & {"LAMELLA_THREADS", "LAMELLA_MODEL", "LAMELLA_PEERS"}


def test_what_can_be_reloaded_is_what_the_table_says() -> None:
    assert {"grace", "log_level", "peers", "join", "hours", "pause_on_battery", "busy_above"} <= RELOADABLE
    assert {setting.name for setting in SETTINGS if setting.reload is not Reload.RESTART} == RELOADABLE
    assert not RELOADABLE & {"kv_memory", "nice", "threads", "network", "identity", "listen"}


@pytest.mark.parametrize(
    ("name", "value", "field", "held"),
    [
        ("share", "off", "shares", False),
        ("share", "127.0.0.1:1", "shares", True),
        ("control", False, "controls", False),
    ],
)
def test_off_is_not_the_default(name: str, value: object, field: str, held: bool) -> None:
    setting = BY_NAME[name]
    config = dataclasses.replace(EMPTY, **setting.fields(setting.read(value)))
    assert getattr(config, field) is held
    assert (setting.of(config) is False) is not held


def test_a_name_has_a_key_a_flag_and_a_variable() -> None:
    setting = BY_NAME["kv_memory"]
    assert (setting.key, setting.flags, setting.variables) == (
        "kv-memory", ("--kv-memory",), ("LAMELLA_NODE_KV_MEMORY",)
    )  # fmt: skip
    assert BY_NAME["peers"].flags == ("--peer",)
    assert BY_NAME["listed"].flags == ("--listed", "--unlisted")
    assert BY_NAME["disk"].variables == ("LAMELLA_DISK", "LAMELLA_NODE_DISK")
    assert settle({}, {"LAMELLA_NODE_MODEL": "a", "LAMELLA_DISK": "1K"}, None).disk_bytes == 1024
