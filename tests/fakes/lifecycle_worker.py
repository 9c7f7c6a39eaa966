"""A process that joins, leaves and drains slices of nothing for as long as it lives, and says what it does.

Run: `python -m tests.fakes.lifecycle_worker INTENTS SEED`. Each line is a list in JSON:
`["found", key, state, paused]` for each slice at the start, `["ready"]`, then `["ask", key, command]`, `["holds"]` when
it is acknowledged, `["refused"]`, and `["offer", key]` whenever a slice is announced.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Final

from node.lifecycle.errors import LifecycleError
from node.lifecycle.happenings import Pauser
from node.lifecycle.intents import IntentFile
from node.lifecycle.keeper import Keeper
from node.lifecycle.wishes import SliceKey, Wish
from tests.fakes.slice_hands import HeldSlice, SliceHands
from wire.types import LayerRange

SLICES: Final = tuple(Wish(key=SliceKey("pocket", LayerRange(start, start + 3))) for start in (0, 3, 6, 9))
CONFIGURED: Final = SLICES[:2]
COMMANDS: Final = ("join", "leave", "drain", "undrain", "pause", "resume")


def say(*words: object) -> None:
    """Write one line at once: what was said must not wait in a process that is killed."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def obey(keeper: Keeper[HeldSlice], wish: Wish, command: str) -> None:
    """Give one command, and wait until it is acknowledged."""
    if command == "join":
        async with aclosing(keeper.join(wish)) as statuses:
            await anext(statuses)
    elif command == "leave":
        await keeper.leave(wish.key, 0.0)
    elif command == "drain":
        await keeper.drain(wish.key, 0.0)
    elif command == "undrain":
        await keeper.undrain(wish.key)
    elif command == "pause":
        await keeper.pause(wish.key)
    else:
        await keeper.resume(wish.key)


async def live(path: Path, seed: str) -> None:
    """Do one thing after the other."""
    dice = random.Random(seed)
    hands = SliceHands(said=lambda what, key: say(what, str(key)) if what == "offer" else None)
    async with Keeper(hands, IntentFile(path)) as keeper:
        await keeper.recover(CONFIGURED)
        for one in keeper.status():
            say("found", str(one.wish.key), one.state.value, Pauser.PERSON in one.paused_by)
        say("ready")
        while True:
            wish, command = dice.choice(SLICES), dice.choice(COMMANDS)
            say("ask", str(wish.key), command)
            try:
                await obey(keeper, wish, command)
            except LifecycleError:
                say("refused")
            else:
                say("holds")
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.002)))


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), sys.argv[2]))
