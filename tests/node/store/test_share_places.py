from __future__ import annotations

import pytest

from node.store.share_places import NoPlace, Places


def test_one_holder_gets_its_share_and_leaves_places_to_others() -> None:
    places = Places(3, 2)
    places.take("a")
    places.take("a")
    with pytest.raises(NoPlace):
        places.take("a")
    places.take("b")
    with pytest.raises(NoPlace):
        places.take("c")
    assert places.taken == 3


def test_a_place_that_is_left_can_be_taken() -> None:
    places = Places(1, 1)
    places.take("a")
    places.leave("a")
    places.take("b")
    assert places.taken == 1


def test_a_place_is_left_whatever_happens() -> None:
    places = Places(1, 1)
    with pytest.raises(RuntimeError), places.held("a"):
        raise RuntimeError
    assert places.taken == 0


def test_who_is_refused_leaves_nothing_behind() -> None:
    places = Places(1, 1)
    places.take("a")
    for number in range(1000):
        with pytest.raises(NoPlace), places.held(number):
            pass
    assert len(places._taken) == 1
