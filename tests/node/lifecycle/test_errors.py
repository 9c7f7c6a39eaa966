"""Every error of a slice's life is in the tree, and says its cause and the next step."""

from __future__ import annotations

import inspect
from pathlib import Path

from node.errors import NodeError
from node.lifecycle import errors


def test_every_error_is_in_the_tree() -> None:
    tree = errors.__doc__ or ""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, NodeError):
            assert f"─ {name}" in tree or name == "NodeError"


def test_an_error_of_the_file_says_which_file() -> None:
    error = errors.IntentsDamaged(Path("/x"), "it is torn", "look at it")
    assert error.path == Path("/x")
    assert str(error) == "it is torn; look at it"
