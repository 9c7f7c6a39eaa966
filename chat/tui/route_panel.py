"""Which host computes what, and where the time of a step went."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from chat import report
from chat.events import Stats
from chat.route import Route

_NOTHING_YET = "The route is planned with the first question."


class RoutePanel(VerticalScroll, can_focus=False):
    """The route of the conversation and, after an answer, the time of each hop."""

    def compose(self) -> ComposeResult:
        yield Static("Route", classes="title", markup=False)
        yield Static(_NOTHING_YET, id="hops", markup=False)
        yield Static("Median step", classes="title timing", markup=False)
        yield Static(id="times", classes="timing", markup=False)

    def on_mount(self) -> None:
        self.set_class(True, "untimed")

    def show_route(self, route: Route) -> None:
        """Show the hops of a new route; its times are not known yet."""
        self.query_one("#hops", Static).update("\n".join(report.table(report.route_rows(route))))
        self.set_class(True, "untimed")

    def show_stats(self, stats: Stats) -> None:
        """Show where the steps of an answer spent their time."""
        rows = [report.HEADINGS, *report.hop_rows(stats)]
        self.query_one("#times", Static).update("\n".join(report.table(rows)))
        self.set_class(False, "untimed")

    def clear(self) -> None:
        """Forget the route."""
        self.query_one("#hops", Static).update(_NOTHING_YET)
        self.set_class(True, "untimed")
