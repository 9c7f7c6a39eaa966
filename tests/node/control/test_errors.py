"""What a person is told of the control socket."""

from __future__ import annotations

import inspect

from node.control import errors
from node.control.codes import ErrorCode
from node.control.errors import BadRequest, ControlError, Refused


def test_every_error_stands_in_the_tree_of_the_docstring() -> None:
    tree = inspect.getdoc(errors) or ""
    for name, each in inspect.getmembers(errors, inspect.isclass):
        if each.__module__ == errors.__name__:
            assert issubclass(each, ControlError)
            assert f"─ {name}" in tree


def test_a_refusal_carries_its_code_and_the_next_step() -> None:
    refused = Refused("newer_code", "why", "then")
    assert (refused.code, refused.cause, refused.next_step) == ("newer_code", "why", "then")
    bad = BadRequest(ErrorCode.MALFORMED, "why", "then", id=4)
    assert (bad.code, bad.id, str(bad)) == (ErrorCode.MALFORMED, 4, "why; then")
