"""What a start makes of the configuration and of what was asked before."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.lifecycle.errors import IntentsDamaged
from node.lifecycle.happenings import Aim, Intent
from node.lifecycle.recovery import all_drained, merged, summed
from node.lifecycle.wishes import SliceKey, Wish
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
