from __future__ import annotations

from node.errors import NodeError
from node.manners.errors import HoursUnreadable, MannersError, TermOutOfBounds


def test_every_error_says_what_is_wrong_and_what_to_do() -> None:
    error = TermOutOfBounds("nice", "nice cannot be 20", "give 0 to 19")
    assert isinstance(error, MannersError) and isinstance(error, NodeError)
    assert (error.term, str(error)) == ("nice", "nice cannot be 20; give 0 to 19")
    assert issubclass(HoursUnreadable, MannersError)
