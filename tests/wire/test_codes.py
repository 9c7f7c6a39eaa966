"""Error codes: their numbers, ranges and words."""

from __future__ import annotations

import pytest

from wire.codes import EXPLANATIONS, Code, known


def test_every_code_is_explained_and_nothing_else_is() -> None:
    assert set(EXPLANATIONS) == set(Code)


@pytest.mark.parametrize("code", Code, ids=lambda code: code.text)
def test_an_explanation_says_what_happened_who_acts_and_what_to_do(code: Code) -> None:
    said = code.explanation
    assert said.meaning.endswith(".")
    assert said.advice.endswith(".")
    assert said.actor in {"client", "host", "sender", "receiver", "person", "nobody"}


@pytest.mark.parametrize("code", Code, ids=lambda code: code.text)
def test_a_code_is_in_one_of_the_four_ranges(code: Code) -> None:
    assert 1 <= code < 128


def test_a_code_prints_as_lower_case_words() -> None:
    assert Code.NOT_HOSTING.text == "not_hosting"


def test_a_received_number_becomes_its_code() -> None:
    assert known(34) is Code.NO_MEMORY


@pytest.mark.parametrize("number", [0, 15, 127, 65_535, -1])
def test_a_number_from_a_newer_peer_is_no_code(number: int) -> None:
    assert known(number) is None
