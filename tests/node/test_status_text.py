"""What a host does, as people read it."""

from __future__ import annotations

import pytest

from node.control.results import DaemonState, SliceLine, SliceState
from node.status_text import sentence
from wire.types import LayerRange


def line(model: str, state: SliceState, progress: float | None = None, sessions: int = 0) -> SliceLine:
    return SliceLine(
        name="any", model=model, layers=LayerRange(0, 3), state=state, progress=progress, sessions=sessions
    )


LOADING = line("/home/me/models/tiny", SliceState.LOADING, 0.25)
SERVING = line("hf:org/name", SliceState.SERVING, sessions=2)
DRAINING = line("hf:org/name", SliceState.DRAINING, sessions=1)
FAILED = line("pocket", SliceState.FAILED)


@pytest.mark.parametrize(
    ("state", "held", "lines", "why", "said"),
    [
        (DaemonState.STARTING, [], [], None, "getting ready"),
        (DaemonState.STARTING, [], [LOADING], None, "getting ready; loads tiny 0:3 25%"),
        (DaemonState.SERVING, ["name 0:3"], [SERVING], None, "serves name 0:3 on [::1]:7"),
        (DaemonState.SERVING, [], [], None, "serves nothing on [::1]:7"),
        (
            DaemonState.SERVING,
            ["name 0:3"],
            [SERVING, FAILED],
            None,
            "serves name 0:3 on [::1]:7; could not load pocket 0:3",
        ),
        (
            DaemonState.PAUSED,
            ["a 0:1", "b 0:1"],
            [SERVING],
            "it runs on its battery",
            "is paused with a 0:1, b 0:1; it runs on its battery",
        ),
        (
            DaemonState.DRAINING,
            ["name 0:3"],
            [DRAINING],
            None,
            "takes no new sessions; drains hf:org/name 0:3",
        ),
        (DaemonState.STOPPING, ["name 0:3"], [SERVING, DRAINING], None, "3 answers under way"),
        (DaemonState.STOPPING, [], [], None, "no answer under way"),
    ],
)
def test_it_is_one_line(
    state: DaemonState, held: list[str], lines: list[SliceLine], why: str | None, said: str
) -> None:
    assert sentence(state, held, lines, where="[::1]:7", why=why) == said
    assert "\n" not in said


def test_nothing_is_said_of_an_address_that_is_not_open_yet() -> None:
    assert sentence(DaemonState.SERVING, ["x 0:1"], [], where=None, why=None) == "serves x 0:1"


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([], "relays for peers that nobody can dial on [::1]:7"),
        (["name 0:3"], "serves name 0:3 and relays for peers that nobody can dial on [::1]:7"),
    ],
)
def test_who_carries_links_says_so(held: list[str], said: str) -> None:
    assert sentence(DaemonState.SERVING, held, [], where="[::1]:7", why=None, relays=True) == said
