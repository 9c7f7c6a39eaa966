from __future__ import annotations

import pytest

from chat import errors
from chat.errors import ChatError, HostUnreachable, NoRoute, sentence
from wire.types import LayerRange


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no host answered", "No host answered."),
        ("Already whole.", "Already whole."),
        ("did you mean 'ask'?", "Did you mean 'ask'?"),
        ("two\nlines\tand  spaces", "Two lines and spaces."),
    ],
)
def test_an_error_is_told_in_one_sentence(message: str, said: str) -> None:
    assert sentence(HostUnreachable(message)) == said


def test_every_error_has_an_exit_code_of_its_own() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ChatError)]
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes


def test_a_missing_route_knows_which_layers_are_missing() -> None:
    assert NoRoute("nobody holds 3:5", missing=(LayerRange(3, 5),)).missing == (LayerRange(3, 5),)
    assert NoRoute("the head is missing").missing == ()
