from __future__ import annotations

import inspect
from pathlib import Path

from node import errors
from node.errors import KeyFileError, NodeError


def test_every_error_is_a_node_error_and_stands_in_the_tree_of_the_docstring() -> None:
    tree = inspect.getdoc(errors) or ""
    for name, each in inspect.getmembers(errors, inspect.isclass):
        if each.__module__ == errors.__name__:
            assert issubclass(each, NodeError)
            assert f"─ {name}" in tree or name == "NodeError"


def test_an_error_is_one_sentence_of_cause_and_next_step() -> None:
    error = NodeError("the disk is full", "make room")
    assert str(error) == "the disk is full; make room"
    assert (error.cause, error.next_step) == ("the disk is full", "make room")


def test_a_key_file_error_says_which_file() -> None:
    assert KeyFileError(Path("/x"), "cause", "step").path == Path("/x")
