from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static

from chat.tui.status_bar import StatusBar


class Host(App[None]):
    def compose(self) -> ComposeResult:
        bar = StatusBar()
        bar.state = "connecting"
        yield bar


async def test_model_and_state_are_shown_as_they_are() -> None:
    app = Host()
    async with app.run_test(size=(60, 3)):
        bar = app.query_one(StatusBar)
        assert str(bar.query_one("#state", Static).render()) == "connecting"
        bar.model, bar.state = "[b]pocket[/nope]", "ready"
        assert str(bar.query_one("#model", Static).render()) == "[b]pocket[/nope]"
        assert str(bar.query_one("#state", Static).render()) == "ready"
