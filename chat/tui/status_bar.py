"""The line at the top: which model, and what is going on."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.reactive import reactive
from textual.widgets import Static


class StatusBar(Horizontal):
    """Name to the left, state to the right."""

    model: reactive[str] = reactive("")
    state: reactive[str] = reactive("")

    def compose(self) -> ComposeResult:
        yield Static("lamella", id="program", markup=False)
        yield Static(self.model, id="model", markup=False)
        yield Static(self.state, id="state", markup=False)

    def watch_model(self, model: str) -> None:
        self._say("#model", model)

    def watch_state(self, state: str) -> None:
        self._say("#state", state)

    def _say(self, part: str, words: str) -> None:
        # Before the parts are composed there is none to tell, and they begin with the value.
        for each in self.query(part).results(Static):
            each.update(words)
