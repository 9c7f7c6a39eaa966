"""Lines are requests and answers, or refused; what one side writes the other reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.control import protocol
from node.control.arguments import DrainArguments, JoinArguments, LogLevel, LogsArguments, NoArguments
from node.control.codes import ErrorCode
from node.control.commands import COMMANDS, DRAIN, JOIN, LOGS, STATUS, Command
from node.control.errors import BadAnswer, BadRequest, OtherVersion
from node.control.limits import MAX_GRACE_S, MAX_LOG_RECORDS, MAX_WHOLE
from node.control.protocol import Cancel, Done, Failed, Request, Told
from tests.fakes import control
from wire.types import LayerRange

IDS = st.integers(0, MAX_WHOLE)
NAMES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=60)
LAYERS = st.tuples(st.integers(0, 99), st.integers(1, 99)).map(lambda pair: LayerRange(pair[0], sum(pair)))
ASKED = st.one_of(
    st.tuples(st.just(STATUS), st.just(NoArguments())),
    st.tuples(st.just(JOIN), st.builds(JoinArguments, model=NAMES, layers=st.none() | LAYERS)),
    st.tuples(
        st.just(DRAIN),
        st.builds(DrainArguments, slice=st.none() | NAMES, grace_s=st.none() | st.floats(0, MAX_GRACE_S)),
    ),
    st.tuples(
        st.just(LOGS),
        st.builds(
            LogsArguments,
            follow=st.booleans(),
            lines=st.integers(0, MAX_LOG_RECORDS),
            level=st.sampled_from(LogLevel),
        ),
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["v", "id", "command", "arguments", "cancel", "ok", "error", "progress", "code", "x"]
)
NEARLY = st.dictionaries(FIELDS, st.sampled_from([1, 2, "status", "join", {}, None, True]) | JSON).map(
    lambda raw: json.dumps(raw).encode()
)


def refusal(line: object) -> BadRequest:
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    with pytest.raises(BadRequest) as refused:
        protocol.read_request(data)
    return refused.value


@given(id_=IDS, asked=ASKED)
def test_a_request_comes_back_as_it_was(id_: int, asked: tuple[Command[Any, Any, Any], Any]) -> None:
    assert protocol.read_request(protocol.request(id_, *asked)) == Request(id_, *asked)


@given(IDS)
def test_a_cancel_comes_back_as_it_was(id_: int) -> None:
    assert protocol.read_request(protocol.cancel(id_)) == Cancel(id_)


def test_answers_come_back_as_they_were() -> None:
    assert protocol.read_answer(protocol.result(3, control.SLICE)) == Done(
        3,
        {
            "name": "pocket/6:12",
            "model": "pocket",
            "layers": "6:12",
            "state": "serving",
            "progress": None,
            "sessions": 0,
            "detail": None,
        },
    )
    assert isinstance(protocol.read_answer(protocol.progress(0, control.SLICE)), Told)
    line = protocol.error(None, ErrorCode.FAILED, "why", "then")
    assert protocol.read_answer(line) == Failed(None, "failed", "why", "then")


@pytest.mark.parametrize(
    "line",
    [
        protocol.result(3, control.STATUS),
        protocol.progress(1, control.SLICE),
        protocol.error(None, ErrorCode.FAILED, "a", "b"),
    ],
)
def test_an_answer_is_shown_as_the_host_wrote_it(line: bytes) -> None:
    assert protocol.read_answer(line).line().encode() + b"\n" == line


@given(st.binary(max_size=300) | NEARLY)
def test_any_line_is_a_request_or_refused_with_words_that_can_be_printed(line: bytes) -> None:
    try:
        asked = protocol.read_request(line)
    except BadRequest as error:
        answered = protocol.read_answer(protocol.error(error.id, error.code, error.cause, error.next_step))
        assert isinstance(answered, Failed)
        assert str(error).isprintable() and len(str(error)) < 1000
    else:
        assert isinstance(asked, Request | Cancel)


@given(st.binary(max_size=300) | NEARLY)
def test_any_line_is_an_answer_or_refused(line: bytes) -> None:
    try:
        answer = protocol.read_answer(line)
    except BadAnswer:
        return
    assert protocol.read_answer(answer.line().encode()) == answer


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"v": 1, "id": 1}, "no command"),
        ({"v": 1, "command": "status"}, "the id is null"),
        ({"v": 1, "id": -1, "command": "status"}, "the id is -1"),
        ({"v": 1, "id": 1.0, "command": "status"}, "the id is 1"),
        ({"v": 1, "id": True, "command": "status"}, "the id is true"),
        ({"id": 1, "command": "status"}, "does not say its version"),
        ({"v": "1", "id": 1, "command": "status"}, "does not say its version"),
        ({"v": True, "id": 1, "command": "status"}, "does not say its version"),
        ({"v": 1, "id": 1, "comand": "status"}, "did you mean command?"),
        ({"v": 1, "id": 1, "cancel": 1}, "no field 'id'"),
        ({"v": 1, "cancel": None}, "null is not the id"),
    ],
)
def test_a_line_that_is_no_request_is_told_what_is_wrong(line: object, words: str) -> None:
    error = refusal(line)
    assert error.code is ErrorCode.MALFORMED
    assert words in str(error)


def test_an_error_names_the_request_it_is_about_as_far_as_that_can_be_read() -> None:
    assert refusal({"v": 1, "id": 5, "command": "x"}).id == 5
    assert refusal({"v": 1, "id": 5, "command": "join"}).id == 5
    assert refusal({"v": 1, "id": "5", "command": "join"}).id is None
    assert refusal({"v": 9, "id": 5, "command": "join"}).id == 5


def test_another_version_is_told_which_one_is_spoken() -> None:
    error = refusal({"v": 2, "id": 1, "something": "else"})
    assert error.code is ErrorCode.OTHER_VERSION
    assert "version 1" in error.cause and "not 2" in error.cause


def test_an_error_of_a_host_of_another_version_is_understood() -> None:
    line = b'{"v":7,"id":1,"error":{"code":"other_version","cause":"a","next_step":"b","more":1}}'
    answer = protocol.read_answer(line)
    assert isinstance(answer, Failed)
    assert isinstance(answer.error(), OtherVersion)


def test_every_command_can_be_asked_for_by_its_name() -> None:
    for name, command in COMMANDS.items():
        line = {"v": 1, "id": 0, "command": name, "arguments": {"model": "m"} if name == "join" else {}}
        asked = protocol.read_request(json.dumps(line).encode())
        assert isinstance(asked, Request) and asked.command is command


def test_the_specification_shows_what_is_spoken() -> None:
    text = (Path(__file__).parents[3] / "specs" / "control.md").read_text(encoding="utf-8")
    _, spoken, _, refused, _ = text.partition("## Test vectors")[2].split("```")
    lines = [line.split(" ", 1) for line in spoken.strip().splitlines()]
    assert {side for side, _ in lines} == {"<", ">"}
    for side, line in lines:
        if side == ">":
            protocol.read_request(line.encode())
        else:
            assert protocol.read_answer(line.encode()).line() == line
    told = [line.split(maxsplit=1) for line in refused.strip().splitlines()]
    assert [refusal(line.encode()).code.value for _, line in told] == [code for code, _ in told]
