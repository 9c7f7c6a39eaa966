from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.changes import Change, Effect, changes
from node.config import NodeConfig, SliceRequest
from node.settings import RELOADABLE, SETTINGS, SLICE, Reload
from wire.contacts import Contact
from wire.tensors import WeightFormat
from wire.types import Address, LayerRange

OLD = NodeConfig(slices=(SliceRequest("a", None),))
A, B, C = (Contact(address=Address("192.0.2.7", port)) for port in (1, 2, 3))

CONFIGS = st.builds(
    NodeConfig,
    slices=st.sampled_from([(SliceRequest("a", None),), (SliceRequest("b", LayerRange(0, 6)),)]),
    network=st.sampled_from(["main", "club"]),
    threads=st.sampled_from([None, 1]),
    weights=st.sampled_from([None, WeightFormat.INT8]),
    lan=st.booleans(),
    shares=st.booleans(),
    disk_bytes=st.sampled_from([None, 1 << 30, 1000]),
    upload_bytes_per_s=st.sampled_from([None, 1 << 20]),
    grace_s=st.sampled_from([5.0, 1.5]),
    max_sessions=st.sampled_from([256, 1]),
    peers=st.lists(st.sampled_from([A, B, C]), unique=True).map(tuple),
    invited=st.lists(st.sampled_from([A, B]), unique=True).map(tuple),
    signer=st.sampled_from([None, bytes(32)]),
)


def test_nothing_changed_is_said_too() -> None:
    found = changes(OLD, OLD)
    assert (found.changes, found.config, found.sentences) == ((), OLD, ("nothing has changed",))


@given(old=CONFIGS, new=CONFIGS, can=st.frozensets(st.sampled_from(sorted(RELOADABLE))))
def test_every_difference_is_told_and_only_what_is_told_holds(
    old: NodeConfig, new: NodeConfig, can: frozenset[str]
) -> None:
    found = changes(old, new, can=can)
    for setting in (SLICE, *SETTINGS):
        before, after, holds = (setting.of(one) for one in (old, new, found.config))
        told = {one.effect for one in found.changes if one.key == setting.key}
        if isinstance(before, tuple) and isinstance(after, tuple) and setting.reload is Reload.ADDED:
            assert bool(told) == (set(before) != set(after))
        else:
            assert bool(told) == (before != after)
        if told == {Effect.NOW} and setting.reload is Reload.NOW:
            assert holds == after
        if Effect.NOW not in told:
            assert holds == before
        if setting.name not in can:
            assert Effect.NOW not in told
    assert json.loads(json.dumps(found.as_json())) == found.as_json()
    assert not any("\n" in one for one in found.sentences)


@given(old=CONFIGS, new=CONFIGS)
def test_what_took_effect_is_not_told_again_and_what_did_not_is(old: NodeConfig, new: NodeConfig) -> None:
    first = changes(old, new)
    again = changes(first.config, new)
    assert again.applied == ()
    assert again.needs_restart == first.needs_restart
    assert again.config == first.config


def test_a_person_is_told_values_as_they_are_written() -> None:
    slices = (SliceRequest("b", LayerRange(0, 6)),)
    new = replace(OLD, upload_bytes_per_s=2 << 20, threads=2, grace_s=1.5, lan=False, slices=slices)
    assert changes(OLD, new).sentences == (
        "slice is b 0:6 after a restart (was a)",
        "threads is 2 after a restart (was the default, one per core)",
        "lan is off after a restart (was on)",
        "upload-rate is 2M (was the default, no bound)",
        "grace is 1.5 (was 5)",
    )


def test_a_script_is_told_plain_values() -> None:
    new = replace(OLD, disk_bytes=1 << 30, weights=WeightFormat.INT8, shares=False, signer=bytes(2))
    assert changes(OLD, new).as_json() == [
        {"key": "weights", "effect": "restart", "old": None, "new": "int8"},
        {"key": "bootstrap-key", "effect": "restart", "old": None, "new": "0000"},
        {"key": "share", "effect": "restart", "old": None, "new": False},
        {"key": "disk", "effect": "restart", "old": None, "new": 1 << 30},
    ]


def test_peers_that_are_added_hold_at_once_and_those_taken_away_stay_until_a_restart() -> None:
    found = changes(replace(OLD, peers=(A, B)), replace(OLD, peers=(B, C)))
    assert found.config.peers == (A, B, C)
    assert (found.applied, found.needs_restart) == (("peers",), ("peers",))


def test_the_order_of_peers_is_no_change() -> None:
    assert changes(replace(OLD, peers=(A, B)), replace(OLD, peers=(B, A))).changes == ()


def test_peers_of_another_network_are_not_met_from_within_this_one() -> None:
    found = changes(OLD, replace(OLD, network="club", invited=(A,), peers=(B,)))
    assert (found.applied, found.config) == ((), OLD)
    assert set(found.needs_restart) == {"network", "join", "peers"}


def test_what_the_host_cannot_apply_needs_a_restart_whatever_the_table_says() -> None:
    found = changes(OLD, replace(OLD, grace_s=1.0, log_level="debug"), can={"grace"})
    assert (found.applied, found.needs_restart) == (("grace",), ("log-level",))
    assert (found.config.grace_s, found.config.log_level) == (1.0, "info")


@pytest.mark.parametrize("new", [replace(OLD, network="secret-club"), replace(OLD, invited=(A,))])
def test_values_that_let_others_into_a_swarm_are_not_told(new: NodeConfig) -> None:
    found = changes(OLD, new)
    assert "secret-club" not in str(found.changes) + str(found.as_json()) + str(found.sentences)
    assert "192.0.2.7" not in str(found.changes) + str(found.as_json())
    assert all("not shown" in one for one in found.sentences)


def test_a_change_says_what_json_and_people_need() -> None:
    assert {field.name for field in fields(Change)} == {"key", "effect", "old", "new", "was", "becomes"}
