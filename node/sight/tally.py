"""What a host counts as it goes, where something happens that leaves no trace to look at later.

Each call costs some microseconds and is made on the event loop. Nobody's name enters it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Final

from node.sight.declared import Histogram, Kind, Label, Metric
from node.sight.facts import LINK_CODES, SESSION_CODES
from wire.codes import Code

PHASES: Final = ("prefill", "decode")
_STEP_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a layer of a small model on a quick machine to a chunk of a long prompt on a slow one."""
_LINK_CODE: Final = Label("code", LINK_CODES)
_SESSION_CODE: Final = Label("code", SESSION_CODES)
_PHASE: Final = Label("phase", PHASES)


def _counter(name: str, words: str, *labels: Label) -> Metric:
    return Metric(f"lamella_{name}_total", Kind.COUNTER, words, labels)


def _seconds(name: str, words: str) -> Metric:
    return Metric(f"lamella_{name}_seconds", Kind.HISTOGRAM, words)


def _steps() -> Histogram:
    return Histogram(_STEP_BOUNDS_S)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts since the host started. Only its methods change it."""

    opened: Annotated[int, _counter("sessions_opened", "Sessions that were accepted.")] = 0
    refused: Annotated[
        Counter[str],
        _counter("sessions_refused", "Sessions that were refused, by what was said.", _SESSION_CODE),
    ] = field(default_factory=Counter)
    closed: Annotated[int, _counter("sessions_closed", "Sessions that their clients closed.")] = 0
    aborted: Annotated[
        Counter[str],
        _counter(
            "sessions_aborted", "Sessions that ended in any other way, by what was said.", _SESSION_CODE
        ),
    ] = field(default_factory=Counter)
    steps: Annotated[Counter[str], _counter("steps", "Steps computed.", _PHASE)] = field(
        default_factory=Counter
    )
    positions: Annotated[
        Counter[str],
        _counter("tokens", "Tokens computed: those of prompts, and those of answers, one by one.", _PHASE),
    ] = field(default_factory=Counter)
    failed_steps: Annotated[int, _counter("steps_failed", "Steps that could not be computed.")] = 0
    queue: Annotated[
        Histogram, _seconds("step_queue", "How long a step waited here before it was computed.")
    ] = field(default_factory=_steps)
    compute: Annotated[Histogram, _seconds("step_compute", "How long a step was computed.")] = field(
        default_factory=_steps
    )
    hop: Annotated[
        Histogram,
        _seconds(
            "step_hop", "How long a step was at this hop: from its arrival until its result was sent on."
        ),
    ] = field(default_factory=_steps)
    links_ended: Annotated[Counter[str], _counter("links_ended", "Links that ended, by why.", _LINK_CODE)] = (
        field(default_factory=Counter)
    )
    handshakes_refused: Annotated[
        Counter[str],
        _counter("handshakes_refused", "Connections that never became links, by why.", _LINK_CODE),
    ] = field(default_factory=Counter)

    def session_opened(self) -> None:
        """A session was accepted."""
        self.opened += 1

    def session_refused(self, code: Code) -> None:
        """A session was refused, when it was asked for or as it was opened."""
        self.refused[code.text] += 1

    def session_ended(self, code: Code | None = None) -> None:
        """A session that was accepted is over; `code` is that of its abort, None when its client closed it."""
        if code is None:
            self.closed += 1
        else:
            self.aborted[code.text] += 1

    def step(self, *, is_prefill: bool, positions: int, queue_us: int, compute_us: int) -> None:
        """A step was computed; `positions` are the tokens in it."""
        phase = PHASES[0] if is_prefill else PHASES[1]
        self.steps[phase] += 1
        self.positions[phase] += positions
        self.queue.observe(queue_us / 1e6)
        self.compute.observe(compute_us / 1e6)

    def step_failed(self) -> None:
        """A step could not be computed."""
        self.failed_steps += 1

    def step_sent(self, hop_us: int) -> None:
        """A step's result was handed to the next link, this long after the step came."""
        self.hop.observe(hop_us / 1e6)

    def link_ended(self, code: Code, *, established: bool) -> None:
        """A connection is over: as a link, or before it became one."""
        (self.links_ended if established else self.handshakes_refused)[code.text] += 1
