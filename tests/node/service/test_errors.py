"""The errors of the service: each tells a cause and a next step, and hangs in the tree that its module draws."""

from __future__ import annotations

import re
from pathlib import Path

from node.errors import NodeError
from node.service import errors
from node.service.errors import ForeignUnit, ServiceError, StartFailed, SystemdFailed, SystemdSilent


def test_the_tree_names_every_error() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    defined = {
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, NodeError)
    }
    assert drawn | {"NodeError"} == defined


def test_errors_carry_what_happened() -> None:
    failed = SystemdSilent(("systemctl", "show"), "it did not answer", "try again", None)
    assert isinstance(failed, SystemdFailed)
    assert (failed.words, failed.exit_status) == (("systemctl", "show"), None)
    assert str(failed) == "it did not answer; try again"
    assert ForeignUnit(Path("/a"), "taken", "look").path == Path("/a")
    assert StartFailed("it ended", "read", ("the port is taken",)).lines == ("the port is taken",)
    assert issubclass(StartFailed, ServiceError)
