from __future__ import annotations

import pytest

from node.store.errors import StoreError
from node.store.source import Chunk, SourceFailed


@pytest.mark.parametrize("retry_after_s", [None, 0.0, 30.0])
def test_a_failure_says_when_to_ask_again_or_that_it_is_not_worth_it(retry_after_s: float | None) -> None:
    error = SourceFailed("peer x broke off", "others are asked", retry_after_s=retry_after_s)
    assert isinstance(error, StoreError)
    assert str(error) == "peer x broke off; others are asked"
    assert error.retry_after_s == retry_after_s


def test_chunks_are_told_apart_by_where_they_belong_too() -> None:
    first = Chunk(digest=bytes(32), size=1, name="a")
    assert first == Chunk(digest=bytes(32), size=1, name="a", offset=0, is_file=False)
    assert len({first, Chunk(digest=bytes(32), size=1, name="b"), first}) == 2
