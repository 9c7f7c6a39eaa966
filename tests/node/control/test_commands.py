"""The table of commands holds together, and what is not in it is refused with a suggestion."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.control.arguments import JoinArguments, LogLevel, LogsArguments
from node.control.codes import ErrorCode
from node.control.commands import (
    COMMANDS,
    DRAIN,
    JOIN,
    LOGS,
    STATUS,
    Command,
    Handlers,
    find,
    read_arguments,
    suggestion,
)
from node.control.errors import BadRequest
from node.control.shapes import parts
from wire.types import LayerRange


def test_a_host_can_offer_every_command_and_no_other() -> None:
    assert list(Handlers.__annotations__) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda one: one.name)
def test_a_handler_takes_and_gives_what_its_command_says(command: Command[Any, Any, Any]) -> None:
    taken, result = typing.get_args(typing.get_type_hints(Handlers)[command.name])
    tell = typing.get_args(taken[1])[0]
    assert (taken[0], *tell, *typing.get_args(result)) == (
        command.arguments,
        command.progress,
        command.result,
    )


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda one: one.name)
def test_every_argument_says_what_it_is_for(command: Command[Any, Any, Any]) -> None:
    assert [one.name for one in parts(command.arguments).values() if not one.meaning] == []
    assert command.summary[0].isupper() and not command.summary.endswith(".")


def test_arguments_that_are_left_out_have_their_defaults() -> None:
    assert read_arguments(LOGS, {}) == LogsArguments(follow=False, lines=100, level=LogLevel.INFO)
    assert read_arguments(JOIN, {"model": "m", "layers": None}) == JoinArguments(model="m")
    assert read_arguments(JOIN, {"model": "m", "layers": "1:2"}).layers == LayerRange(1, 2)


@pytest.mark.parametrize(
    ("command", "raw", "code", "words"),
    [
        (JOIN, {}, ErrorCode.MISSING_ARGUMENT, "join needs the argument model"),
        (JOIN, {"model": None}, ErrorCode.BAD_ARGUMENT, "model of join: null is not text"),
        (DRAIN, {"grace_s": -1}, ErrorCode.BAD_ARGUMENT, "grace_s of drain: -1 is not a number from 0"),
        (DRAIN, {"grace": 1}, ErrorCode.UNKNOWN_ARGUMENT, "did you mean grace_s?"),
        (STATUS, {"x": 1}, ErrorCode.UNKNOWN_ARGUMENT, "this command has no arguments"),
        (STATUS, [], ErrorCode.BAD_ARGUMENT, "the arguments are an array"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    command: Command[Any, Any, Any], raw: object, code: ErrorCode, words: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        read_arguments(command, raw)
    assert refused.value.code is code
    assert words in str(refused.value)


def test_a_mistyped_command_is_told_the_one_it_resembles() -> None:
    with pytest.raises(BadRequest, match=r"no command 'statsu'; did you mean status\?") as refused:
        find("statsu")
    assert refused.value.code is ErrorCode.UNKNOWN_COMMAND


def test_a_command_like_no_other_is_told_all_there_are() -> None:
    assert suggestion("zzz", COMMANDS) == "there is " + ", ".join(COMMANDS)


@given(st.text() | st.integers() | st.none() | st.lists(st.text()))
def test_any_name_is_a_command_or_refused(name: object) -> None:
    try:
        assert find(name).name == name
    except BadRequest as error:
        assert error.code is ErrorCode.UNKNOWN_COMMAND
