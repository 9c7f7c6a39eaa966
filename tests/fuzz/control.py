"""Fuzz target: any bytes at the control socket are requests, or errors that can be told; and answers likewise."""

from __future__ import annotations

from contextlib import suppress

from node.control import protocol
from node.control.arguments import DrainArguments, JoinArguments, LogsArguments
from node.control.codes import ErrorCode
from node.control.commands import COMMANDS, DRAIN, JOIN, LOGS
from node.control.errors import BadAnswer, BadRequest, Unfit
from node.control.lines import LineSplitter
from node.control.protocol import Done, Failed, Request
from node.control.results import Metrics, SliceLine, SliceState
from node.control.shapes import read
from wire.types import LayerRange

_MOST_BYTES = 120
_SLICE = SliceLine(name="m/0:6", model="m", layers=LayerRange(0, 6), state=SliceState.SERVING, progress=0.5)
SEEDS = (
    protocol.request(1, JOIN, JoinArguments(model="hf:org/name", layers=LayerRange(0, 6))),
    protocol.request(2, DRAIN, DrainArguments(slice="m/0:6", grace_s=60.0)) + protocol.cancel(2),
    protocol.request(3, LOGS, LogsArguments(follow=True)),
    protocol.result(4, _SLICE),
    protocol.progress(5, Metrics(values={"a": 1.0})),
    protocol.error(None, ErrorCode.MALFORMED, "the line is not JSON", "send JSON"),
    b'{"v":1,"id":1,"command":"status","arguments":{"x":[{"y":1e999}]}}\n',
)


def fuzz(data: bytes) -> None:
    """Cut `data` into lines in one piece and in two, and read each as a host and as a client would."""
    lines = LineSplitter(_MOST_BYTES).feed(data + b"\n")
    halved = LineSplitter(_MOST_BYTES)
    half = len(data) // 2
    assert halved.feed(data[:half]) + halved.feed(data[half:] + b"\n") == lines
    for line in (data, *lines):
        if line is not None:
            _as_host(line)
            _as_client(line)


def _as_host(line: bytes) -> None:
    try:
        asked = protocol.read_request(line)
    except BadRequest as error:
        told = protocol.read_answer(protocol.error(error.id, error.code, error.cause, error.next_step))
        assert isinstance(told, Failed) and str(error).isprintable()
        return
    if isinstance(asked, Request):
        assert protocol.read_request(protocol.request(asked.id, asked.command, asked.arguments)) == asked
    else:
        assert protocol.read_request(protocol.cancel(asked.id)) == asked


def _as_client(line: bytes) -> None:
    try:
        answer = protocol.read_answer(line)
    except BadAnswer:
        return
    if isinstance(answer, Done):
        for command in COMMANDS.values():
            with suppress(Unfit):
                read(command.result, answer.body)
    assert protocol.read_answer(answer.line().encode()) == answer
