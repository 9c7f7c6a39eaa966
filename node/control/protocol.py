"""Lines of the control socket as values: what a client sends, and what the host answers. Knows no socket.

A request is answered by any number of `progress` lines, then by one `ok` or one `error`. A line that could not be
read far enough to find its id is answered with the id null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from node.control import lines
from node.control.codes import ErrorCode
from node.control.commands import Command, find, read_arguments, suggestion
from node.control.errors import BadAnswer, BadRequest, OtherVersion, Refused
from node.control.kinds import shown
from node.control.limits import MAX_WHOLE, VERSION
from node.control.shapes import plain

_REQUEST: Final = ("v", "id", "command", "arguments")
_CANCEL: Final = ("v", "cancel")


@dataclass(frozen=True, slots=True)
class Request:
    """A client asks for something."""

    id: int
    command: Command[Any, Any, Any]
    arguments: Any
    """Of the command's class."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A client gives a request up. There is no answer but that request's own."""

    id: int


@dataclass(frozen=True, slots=True)
class Told:
    """A line of progress."""

    id: int
    body: dict[str, Any]

    def line(self) -> str:
        """The answer as the host wrote it, without its newline."""
        return _line(self.id, "progress", self.body)


@dataclass(frozen=True, slots=True)
class Done:
    """The result, after which nothing more is said of the request."""

    id: int
    body: dict[str, Any]

    def line(self) -> str:
        """The answer as the host wrote it, without its newline."""
        return _line(self.id, "ok", self.body)


@dataclass(frozen=True, slots=True)
class Failed:
    """The error that ends a request, or what is wrong with a line that is none."""

    id: int | None
    code: str
    """An `ErrorCode`, or one of a newer host."""
    cause: str
    next_step: str

    def line(self) -> str:
        """The answer as the host wrote it, without its newline."""
        said = {"code": self.code, "cause": self.cause, "next_step": self.next_step}
        return _line(self.id, "error", said)

    def error(self) -> Refused:
        """The same as an error to raise."""
        kind = OtherVersion if self.code == ErrorCode.OTHER_VERSION.value else Refused
        return kind(self.code, self.cause, self.next_step)


Answer = Told | Done | Failed


def read_request(line: bytes) -> Request | Cancel:
    """The request in a line from a client. Raises `BadRequest`, and nothing else whatever the line holds."""
    raw = lines.load(line)
    id_ = raw.get("id") if _is_id(raw.get("id")) else None
    if raw.get("v") != VERSION or type(raw.get("v")) is not int:
        raise _version(raw.get("v"), id_)
    known = _CANCEL if "cancel" in raw else _REQUEST
    for name in raw:
        if name not in known:
            raise lines.malformed(f"a line has no field {shown(name)}; {suggestion(name, known)}", id=id_)
    if "cancel" in raw:
        if not _is_id(raw["cancel"]):
            raise lines.malformed(f"{shown(raw['cancel'])} is not the id of a request")
        return Cancel(raw["cancel"])
    if id_ is None:
        raise lines.malformed(f"the id is {shown(raw.get('id'))}, not a whole number from 0 to {MAX_WHOLE}")
    if "command" not in raw:
        raise lines.malformed("the line has no command", id=id_)
    try:
        command = find(raw["command"])
        return Request(id_, command, read_arguments(command, raw.get("arguments", {})))
    except BadRequest as error:
        error.id = id_
        raise


def request(id_: int, command: Command[Any, Any, Any], arguments: Any) -> bytes:
    """The line of a request. Arguments that are as when left out are left out."""
    given = {name: value for name, value in plain(arguments).items() if value is not None}
    asked = {"v": VERSION, "id": id_, "command": command.name}
    return lines.dump({**asked, "arguments": given} if given else asked)


def cancel(id_: int) -> bytes:
    """The line that gives a request up."""
    return lines.dump({"v": VERSION, "cancel": id_})


def progress(id_: int, record: Any) -> bytes:
    """The line of progress. Raises `ValueError` or `TypeError` for values that cannot travel."""
    return lines.dump({"v": VERSION, "id": id_, "progress": plain(record)})


def result(id_: int, record: Any) -> bytes:
    """The line of a result. Raises `ValueError` or `TypeError` for values that cannot travel."""
    return lines.dump({"v": VERSION, "id": id_, "ok": plain(record)})


def error(id_: int | None, code: ErrorCode, cause: str, next_step: str) -> bytes:
    """The line of an error."""
    return Failed(id_, code.value, cause, next_step).line().encode() + lines.NEWLINE


def read_answer(line: bytes) -> Answer:
    """The answer in a line from a host. Raises `BadAnswer`, and nothing else whatever the line holds."""
    try:
        raw = lines.load(line)
    except BadRequest as bad:
        raise _bad(bad.cause) from bad
    id_ = raw.get("id")
    if id_ is not None and not _is_id(id_):
        raise _bad("an answer has no id")
    said = raw.get("error")
    if isinstance(said, dict):
        words = [said.get(name) for name in ("code", "cause", "next_step")]
        if all(isinstance(one, str) for one in words):
            return Failed(id_, *(str(one) for one in words))
        raise _bad("an error does not say why")
    if raw.get("v") != VERSION or id_ is None:
        raise _bad("an answer is of another version, or has no id")
    for kind, name in ((Done, "ok"), (Told, "progress")):
        body = raw.get(name)
        if isinstance(body, dict):
            return kind(id_, body)
    raise _bad("an answer says nothing")


def _line(id_: int | None, kind: str, body: dict[str, Any]) -> str:
    return lines.dump({"v": VERSION, "id": id_, kind: body}).decode().rstrip("\n")


def _is_id(raw: object) -> bool:
    return type(raw) is int and 0 <= raw <= MAX_WHOLE


def _version(raw: object, id_: int | None) -> BadRequest:
    if type(raw) is not int:
        return lines.malformed("the line does not say its version", id=id_)
    cause = f"this host speaks version {VERSION} of the control protocol, not {shown(raw)}"
    step = "update the older of the two programs, and start the host again"
    return BadRequest(ErrorCode.OTHER_VERSION, cause, step, id=id_)


def _bad(cause: str) -> BadAnswer:
    return BadAnswer(cause, "update the older of the two programs, and start the host again")
