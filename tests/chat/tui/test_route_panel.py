from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static

from chat.tui.route_panel import RoutePanel
from tests.fakes.driver import PEERS, route, stats


class Host(App[None]):
    def compose(self) -> ComposeResult:
        yield RoutePanel()


async def test_the_route_comes_first_and_its_times_after_an_answer() -> None:
    app = Host()
    async with app.run_test(size=(80, 10)):
        panel = app.query_one(RoutePanel)

        def lines() -> list[str]:
            return str(panel.query_one(Static).render()).splitlines()

        assert lines() == ["The route is planned with the first question."]
        panel.show_route(route())
        assert [line.split() for line in lines()] == [
            ["layers"],
            ["this", "machine", "embedding,", "0:1"],
            [PEERS[0].short, "1:8"],
            [PEERS[1].short, "8:16"],
            [PEERS[2].short, "16:24,", "head"],
        ]
        panel.show_stats(stats())
        assert lines()[-2].split() == [PEERS[2].short, "16:24,", "head", "4.25", "0.08"]
        assert lines()[-1].split() == ["links,", "sampling", "12.50"]
        panel.clear()
        assert len(lines()) == 1


async def test_times_without_a_route_name_the_layers() -> None:
    app = Host()
    async with app.run_test(size=(80, 10)):
        panel = app.query_one(RoutePanel)
        panel.show_stats(stats())
        assert "16:24   " in str(panel.query_one(Static).render())
