"""Which host computes what, and where the time of a step went."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from chat import report
from chat.events import Stats
from chat.route import Route

_NOTHING_YET = "The route is planned with the first question."


class RoutePanel(VerticalScroll, can_focus=False):
    """The route of the conversation and, after an answer, the median time of each of its stages."""

    def __init__(self) -> None:
        super().__init__()
        self._route: Route | None = None

    def compose(self) -> ComposeResult:
        yield Static(_NOTHING_YET, markup=False)

    def show_route(self, route: Route) -> None:
        """Show the hops of a new route; its times are not known yet."""
        self._route = route
        self._draw([("", report.HEADINGS[1]), *report.route_rows(route)])

    def show_stats(self, stats: Stats) -> None:
        """Show where the steps of an answer spent their time."""
        self._draw(report.time_rows(stats, self._route))

    def clear(self) -> None:
        """Forget the route."""
        self._route = None
        self.query_one(Static).update(_NOTHING_YET)

    def _draw(self, rows: Sequence[Sequence[str]]) -> None:
        self.query_one(Static).update("\n".join(report.table(rows)))
