"""The screen over a fake driver, to look at: python -m tests.fakes.screen [offline]."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

from chat.driver import Driver
from chat.errors import ChainBroken, HostUnreachable
from chat.events import Event
from chat.tui.app import LamellaApp
from tests.fakes.driver import FakeDriver, answer
from wire.codes import Code

POEM = """\
Here is what a **slice** is:

1. A host holds some layers, as `[8:16]`.
2. It receives hidden states and *passes them on*.

```python
def forward(x: Tensor) -> Tensor:
    return layers[8:16](x)
```

| hop | layers |
|-----|--------|
| a   | 1:8    |
| b   | 8:16   |

Text such as [bold]this[/bold] or 2 [3] is not markup."""


class SlowDriver(FakeDriver):
    """Answers at a pace one can watch."""

    async def ask(self, text: str) -> AsyncIterator[Event]:
        async for event in super().ask(text):
            await asyncio.sleep(0.02)
            yield event


async def connect(progress: Callable[[str], None]) -> Driver:
    progress("reaching hosts and loading the first layers")
    await asyncio.sleep(0.5)
    if "offline" in sys.argv:
        raise HostUnreachable("no host is known; give one with --peer IP:PORT")
    long = answer(POEM + " " + "word " * 300)
    return SlowDriver(
        answer(POEM),
        long,
        [*answer("It was", planned=False)[:3], ChainBroken("host x is gone", code=Code.HOP_LOST)],
    )


if __name__ == "__main__":
    LamellaApp(connect).run()
