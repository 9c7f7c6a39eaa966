from __future__ import annotations

import pytest

from node.errors import NodeError
from node.store.errors import NotFetched, StoreError, WrongBytes


def test_what_was_not_fetched_is_counted() -> None:
    error = NotFetched("3 chunks could not be had", "try again", missing=3)
    assert error.missing == 3
    assert str(error) == "3 chunks could not be had; try again"


@pytest.mark.parametrize("kind", [WrongBytes, NotFetched])
def test_errors_of_a_fetch_are_errors_of_the_store(kind: type[NodeError]) -> None:
    assert issubclass(kind, StoreError)
