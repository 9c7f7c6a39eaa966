"""Each error says what is in the way and what to do next."""

from __future__ import annotations

import inspect

from node.errors import NodeError
from node.sight import errors
from node.sight.errors import CannotServeSight, NotLoopback, SightError, TooManyFollowers
from wire.types import Address

WHERE = Address("192.0.2.1", 9100)


def test_errors_name_the_address_and_the_next_step() -> None:
    assert str(NotLoopback(WHERE)) == (
        "metrics at 192.0.2.1:9100 could be read from other machines; "
        "choose 127.0.0.1 or [::1], or say that others may read them"
    )
    taken = CannotServeSight(WHERE, "Address already in use")
    assert taken.cause == "metrics cannot be served at 192.0.2.1:9100 (Address already in use)"
    assert taken.next_step == "choose another address or port"
    assert NotLoopback(WHERE).address == taken.address == WHERE


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    tree = inspect.getdoc(errors) or ""
    classes = (NodeError, SightError, NotLoopback, CannotServeSight, TooManyFollowers)
    found = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)]
    assert set(found) == set(classes)
    assert [one.__name__ for one in classes if one.__name__ not in tree] == []
    assert all(issubclass(one, SightError) for one in classes[2:])
