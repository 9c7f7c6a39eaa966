"""Where questions are typed: grows with its text, sends on Enter, remembers what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.widgets import TextArea


class Prompt(TextArea):
    """A text area that sends."""

    @dataclass
    class Submitted(Message):
        """Enter was pressed on a text that is not blank."""

        text: str

    def __init__(self) -> None:
        super().__init__(
            placeholder="Ask something",
            compact=True,
            highlight_cursor_line=False,
            tab_behavior="focus",
        )
        # A blinking cursor is traffic over ssh for as long as the screen is open.
        self.cursor_blink = False
        self._asked: list[str] = []
        self._shown = 0
        """Which of `_asked` is in the area; its length stands for the draft."""
        self._draft = ""

    async def _on_key(self, event: events.Key) -> None:
        # Here and not as a binding: a binding of Enter would overtake characters that are still in the queue when
        # text and Enter arrive in one burst, from a paste or tmux. Terminals send Ctrl+J as a newline everywhere, and
        # Shift+Enter hardly anywhere.
        if event.key == "enter":
            self.submit()
        elif event.key in ("ctrl+j", "shift+enter", "alt+enter"):
            start, end = self.selection
            self._replace_via_keyboard("\n", start, end)
        elif event.key == "up" and self.cursor_at_first_line and self._shown > 0:
            self._show(self._shown - 1)
        elif event.key == "down" and self.cursor_at_last_line and self._shown < len(self._asked):
            self._show(self._shown + 1)
        else:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()

    def take_back(self, text: str) -> None:
        """Put a question back that could not be asked, unless another is being written."""
        if not self.text:
            self.load_text(text)
            self.move_cursor(self.document.end)

    def accepted(self, text: str) -> None:
        """Empty the area and remember `text`, which is being asked now."""
        if not self._asked or self._asked[-1] != text:
            self._asked.append(text)
        self._shown, self._draft = len(self._asked), ""
        self.load_text("")

    def submit(self) -> None:
        """Send the text, unless it is blank."""
        if self.text.strip():
            self.post_message(self.Submitted(self.text.strip()))

    def _show(self, index: int) -> None:
        """Show an earlier question, or the draft again at the end of the list."""
        if self._shown == len(self._asked):
            self._draft = self.text
        self._shown = index
        self.load_text(self._draft if index == len(self._asked) else self._asked[index])
        self.move_cursor(self.document.end)
