"""This machine's own host: what it does, whom it serves, and the few things one tells it while one chats.

It looks only while it is shown. What it was told to do goes on when it is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker

from chat.own_host import OwnHost, Seen
from chat.tui import host_text
from node.control.arguments import DrainArguments, NoArguments, SliceArguments
from node.control.commands import DRAIN, PAUSE, RESUME, UNDRAIN, Command
from node.control.results import DaemonState, SliceLine
from node.control_text import lines
from node.errors import NodeError

_WATCHING: Final = "own host"
_ACTING: Final = "telling own host"
_FACTS, _SLICES, _SESSIONS, _SAYS = "#host-facts", "#host-slices", "#host-sessions", "#host-says"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """Something the host is told to do."""

    command: Command[Any, Any, Any]
    arguments: Any
    slice: str | None = None
    """The name of the one it is about."""
    begins: str
    """What is said until the host says more."""
    undone_by: _Order | None = None
    """What calls it off, for what the host would go on with."""


class HostPanel(Vertical, can_focus=True):
    """The host of this machine, and keys for it while the panel has the focus."""

    @dataclass
    class Closed(Message):
        """Escape was pressed with nothing to give up."""

    BINDINGS = [  # noqa: RUF012 - Textual's own attribute
        Binding("p", "pause", show=False),
        Binding("d", "drain", show=False),
        Binding("u", "undrain", show=False),
        Binding("y", "yes", show=False),
        Binding("n", "no", show=False),
        Binding("up", "choose(-1)", show=False),
        Binding("down", "choose(1)", show=False),
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, host: OwnHost) -> None:
        super().__init__()
        self._host = host
        self._seen: Seen | None = None
        self._chosen: str | None = None
        self._asked: _Order | None = None
        """Waits for a yes."""
        self._doing: _Order | None = None
        self._work: Worker[None] | None = None
        self._said = ""
        """The last thing that was done, or why not."""
        self._drawn: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(host_text.LOOKING, id=_FACTS[1:], markup=False)
            yield Static("", id=_SLICES[1:], markup=False)
            yield Static("", id=_SESSIONS[1:], markup=False)
        yield Static("", id=_SAYS[1:], markup=False)

    def open(self) -> None:
        """Show this, look from now on, and take the keys."""
        self.display = True
        self.run_worker(self._host.watch(self._look), name=_WATCHING, group=_WATCHING, exclusive=True)
        self._draw_choice()
        self.focus()

    def close(self) -> None:
        """Hide this and look no more; what was seen will be old when it is shown again."""
        self.display = False
        self.workers.cancel_group(self, _WATCHING)
        self._asked, self._seen, self._said = None, None, ""
        self._draw(_FACTS, host_text.LOOKING)
        self._draw(_SLICES, "")
        self._draw(_SESSIONS, "")

    def on_focus(self) -> None:
        self._draw_choice()

    def on_blur(self) -> None:
        self._draw_choice()

    def _look(self, found: Seen | NodeError) -> None:
        self._seen = found if isinstance(found, Seen) else None
        if isinstance(found, Seen):
            self._keep_chosen(found.status.slices)
            self._draw(_FACTS, "\n".join(host_text.facts(found)))
            self._draw(_SESSIONS, "\n".join(host_text.sessions(found)))
        else:
            # What waits for a yes is about a host that is not there any more.
            self._asked, self._said = None, ""
            self._draw(_FACTS, host_text.away(found))
            self._draw(_SESSIONS, "")
        self._draw_choice()

    # Keys

    def action_choose(self, steps: int) -> None:
        """Choose the slice so many rows further down."""
        names = [one.name for one in self._slices]
        if self._chosen in names and self._asked is None:
            at = names.index(self._chosen) + steps
            self._chosen = names[min(max(at, 0), len(names) - 1)]
            self._draw_choice()

    async def action_pause(self) -> None:
        """Pause the host, or end its pause."""
        if self._seen is None:
            return
        if self._seen.status.state is DaemonState.PAUSED:
            await self._begin(_Order(command=RESUME, arguments=NoArguments(), begins="resuming"))
        else:
            await self._begin(_Order(command=PAUSE, arguments=NoArguments(), begins="pausing"))

    def action_drain(self) -> None:
        """Ask whether to drain the chosen slice."""
        one = self._chosen_slice
        if one is None or self._busy():
            return
        why_not = host_text.not_drainable(one)
        if why_not is not None:
            self._say(why_not)
            return
        back = _undrain(one)
        self._asked = _Order(
            command=DRAIN,
            arguments=DrainArguments(slice=one.name),
            slice=one.name,
            begins=f"draining {one.name}",
            undone_by=back,
        )
        self._say("")

    async def action_undrain(self) -> None:
        """Serve the chosen slice again."""
        one = self._chosen_slice
        if one is None or self._busy():
            return
        why_not = host_text.not_drained(one)
        if why_not is None:
            await self._begin(_undrain(one))
        else:
            self._say(why_not)

    async def action_yes(self) -> None:
        """Do what was asked about."""
        order, self._asked = self._asked, None
        if order is not None:
            await self._begin(order)

    def action_no(self) -> None:
        """Leave it."""
        if self._asked is not None:
            self._asked = None
            self._say("")

    async def action_back(self) -> None:
        """Give up, in this order: what is asked, what is under way, the panel."""
        if self._asked is not None:
            self.action_no()
        elif self._doing is not None:
            await self._call_off(self._doing)
        else:
            self.post_message(self.Closed())

    # Telling

    def _busy(self) -> bool:
        if self._doing is not None:
            self._say(f"{self._doing.begins}: one thing at a time, Esc calls it off")
        return self._doing is not None

    async def _begin(self, order: _Order) -> None:
        if not self._busy():
            self._doing, self._asked = order, None
            self._say(order.begins)
            self._work = self.run_worker(self._do(order), name=_ACTING, group=_ACTING)

    async def _do(self, order: _Order) -> None:
        def told(record: object) -> None:
            if self._doing is order:
                self._say(" ".join(lines(record)))

        try:
            result = await self._host.tell(order.command, order.arguments, told)
            said = host_text.done(result, order.slice)
        except NodeError as error:
            said = host_text.trouble(error)
        # Not when it was called off: then something else may be under way.
        if self._doing is order:
            self._doing = None
            self._say(said)

    async def _call_off(self, order: _Order) -> None:
        """Give up what is under way, and undo what the host would go on with."""
        self._doing = None
        if self._work is not None:
            self._work.cancel()
        if order.undone_by is None:
            self._say(f"given up: {order.command.cancelled}")
        else:
            await self._begin(order.undone_by)

    # Showing

    @property
    def _slices(self) -> Sequence[SliceLine]:
        return () if self._seen is None else self._seen.status.slices

    @property
    def _chosen_slice(self) -> SliceLine | None:
        return next((one for one in self._slices if one.name == self._chosen), None)

    def _keep_chosen(self, held: Sequence[SliceLine]) -> None:
        names = [one.name for one in held]
        if self._chosen not in names:
            self._chosen = names[0] if names else None
            self._asked = None

    def _say(self, words: str) -> None:
        self._said = words
        self._draw_choice()

    def _draw_choice(self) -> None:
        seen, one = self._seen, self._chosen_slice
        self._draw(_SLICES, "" if seen is None else "\n".join(host_text.slices(seen, self._chosen)))
        if self._asked is not None and one is not None:
            self._draw(_SAYS, f"{host_text.drain_question(one)}\n{host_text.ASKING_KEYS}")
        else:
            keys = host_text.AWAY_KEYS
            if self.has_focus:
                keys = host_text.DOING_KEYS if self._doing is not None else host_text.keys(seen, one)
            self._draw(_SAYS, f"{self._said}\n{keys}" if self._said else keys)

    def _draw(self, part: str, words: str) -> None:
        """Show words in a part; nothing is drawn that stands there already."""
        if self._drawn.get(part) != words:
            self._drawn[part] = words
            # When the screen ends, its parts may be gone before the last word about them.
            for each in self.query(part).results(Static):
                each.update(words)


def _undrain(one: SliceLine) -> _Order:
    return _Order(
        command=UNDRAIN,
        arguments=SliceArguments(slice=one.name),
        slice=one.name,
        begins=f"serving {one.name} again",
    )
