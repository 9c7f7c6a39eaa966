"""What a start makes of the configuration and of what was asked before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from node.lifecycle import keeper as module
from node.lifecycle.errors import HostStarting, IntentsDamaged
from node.lifecycle.happenings import Aim, Intent
from node.lifecycle.intents import IntentFile
from node.lifecycle.keeper import Keeper
from node.lifecycle.recovery import all_drained, merged, summed
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey, Wish
from tests.fakes import kept_host
from tests.fakes.kept_host import Host
from wire.tensors import WeightFormat
from wire.types import LayerRange

HERE = Wish(key=SliceKey("pocket", LayerRange(0, 6)))
THERE = Wish(key=SliceKey("pocket", LayerRange(6, 12)))


def test_what_is_configured_and_what_was_joined_is_loaded_and_the_configured_first() -> None:
    joined = Intent(wish=THERE, aim=Aim.HELD, joined=True, paused=True)
    intents = merged([HERE], [joined])
    assert intents == (Intent(wish=HERE, aim=Aim.HELD), joined)
    assert summed(intents).load == (HERE, THERE)


@pytest.mark.parametrize("joined", [True, False])
def test_what_was_drained_stays_so_and_what_was_left_too(joined: bool) -> None:
    drained = Intent(wish=HERE, aim=Aim.DRAINED, joined=joined)
    left = Intent(wish=THERE, aim=Aim.LEFT, joined=joined)
    found = summed(merged([HERE, THERE], [drained, left]))
    assert (found.load, found.drained, found.left) == ((), (HERE,), (THERE,))


@pytest.mark.parametrize("aim", Aim)
def test_what_only_the_configuration_named_is_forgotten_with_it(aim: Aim) -> None:
    assert merged([], [Intent(wish=HERE, aim=aim)]) == ()


def test_what_a_command_joined_is_known_without_the_configuration_unless_it_was_left() -> None:
    for aim in Aim:
        asked = Intent(wish=HERE, aim=aim, joined=True)
        assert merged([], [asked]) == (() if aim is Aim.LEFT else (asked,))


def test_the_configuration_says_how_a_slice_is_held() -> None:
    other = Wish(key=HERE.key, weights=WeightFormat.INT8)
    (one,) = merged([other], [Intent(wish=HERE, aim=Aim.DRAINED, joined=True)])
    assert one == Intent(wish=other, aim=Aim.DRAINED, joined=True)


def test_a_slice_that_is_configured_twice_is_one_and_stays_drained() -> None:
    drained = Intent(wish=HERE, aim=Aim.DRAINED)
    assert merged([HERE, HERE], [drained]) == (drained,)
    assert all_drained([HERE, HERE]) == (drained,)


def test_when_it_is_not_known_what_was_asked_nothing_is_served() -> None:
    trouble = IntentsDamaged(Path("/x"), "torn", "look")
    found = summed(all_drained([HERE, THERE]), trouble)
    assert (found.load, found.drained, found.trouble) == ((), (HERE, THERE), trouble)


async def test_nothing_is_taken_before_it_is_known_what_was_asked_so_nothing_of_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(tmp_path)
    async with host.process(HERE) as keeper:
        await host.served(HERE)
        await keeper.drain(HERE.key, 0.0)
    async with Keeper(host.hands, IntentFile(host.path)) as keeper:
        for early in (kept_host.joined(keeper, THERE), keeper.drain(None, 0.0), keeper.undrain(HERE.key)):
            with pytest.raises(HostStarting, match="ask again in a moment"):
                await early
        monkeypatch.setattr(module, "RECOVER_TIMEOUT_S", 0.0)
        with pytest.raises(HostStarting):
            await keeper.recovered()
        monkeypatch.setattr(module, "RECOVER_TIMEOUT_S", 20.0)
        waiting = asyncio.create_task(keeper.recovered())
        await keeper.hold_back(True)
        await keeper.recover([HERE])
        await waiting
        await kept_host.joined(keeper, THERE)
        assert (kept_host.state(keeper, HERE), host.hands.announced()) == (State.STOPPED, set())
        await keeper.hold_back(False)
        await host.served(THERE)
        assert keeper.handles() == {THERE.key: host.hands.of(THERE.key)}
    async with host.process(HERE):
        await host.served(THERE)
