"""Questions and answers, the latest at the end; follows the end until one scrolls away."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from chat.ask import printable

WELCOME = (
    "Ask something: the answer is computed layer by layer on other people's machines.\n"
    "Hosts see hidden states, from which text can be reconstructed; ask only what they may know."
)


class Question(Static):
    """What was asked, as it was typed."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text), markup=False)


class Notice(Static):
    """One sentence about something that went wrong."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text), markup=False)


class Answer(Vertical):
    """An answer that grows, and a line about it below."""

    def __init__(self) -> None:
        super().__init__()
        self._stream: MarkdownStream | None = None
        self.text = ""
        """What has been said so far."""

    def compose(self) -> ComposeResult:
        yield Markdown()
        yield Static("…", classes="footnote", markup=False)

    async def write(self, text: str) -> None:
        """Append to the answer."""
        text = printable(text)
        self.text += text
        if not text:
            return
        if self._stream is None:
            self._stream = Markdown.get_stream(self.query_one(Markdown))
        await self._stream.write(text)

    def say(self, footnote: str) -> None:
        """Set the line below the answer."""
        self.query_one(".footnote", Static).update(footnote)

    async def end(self) -> None:
        """Render what is left; the answer grows no more."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.stop()


class ConversationView(VerticalScroll, can_focus=False):
    """The conversation."""

    def compose(self) -> ComposeResult:
        yield Static(WELCOME, id="welcome", markup=False)

    async def add(self, *widgets: Question | Answer | Notice) -> None:
        """Append to the conversation and go to its end."""
        await self.query("#welcome").remove()
        await self.mount(*widgets)
        self.anchor()

    async def clear(self) -> None:
        """Begin anew."""
        await self.remove_children()
        self.anchor(False)
        await self.mount(Static(WELCOME, id="welcome", markup=False))
