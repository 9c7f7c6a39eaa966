"""A host without time, tasks or tensors: does what the machine of each slice says, one effect after the other.

It can be cut off between any two effects, as `kill -9` does it; then only the disk is left. What it is told to do that
no host may do fails at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from node.lifecycle.errors import IntentsUnwritable
from node.lifecycle.happenings import (
    Acknowledge,
    Aim,
    Announce,
    Effect,
    Free,
    Happening,
    Intent,
    Load,
    Save,
    Withdraw,
)
from node.lifecycle.intents import IntentFile
from node.lifecycle.machine import Life, revived
from node.lifecycle.recovery import merged
from node.lifecycle.wishes import SliceKey, Wish
from wire.codes import Code


class Memory(Enum):
    """What of a slice is in memory."""

    FREE = "free"
    LOADING = "loading"
    LOADED = "loaded"
    FREEING = "freeing"


class Killed(Exception):
    """The process was killed in the middle."""


class StagedHost:
    """One process, over and over again on one disk."""

    def __init__(self, path: Path, wishes: Sequence[Wish], configured: Sequence[Wish]) -> None:
        self._path = path
        self._wishes = wishes
        self._configured = configured
        self.disk_works = True
        self.start()

    def start(self) -> None:
        """Begin a process with what is on the disk."""
        self._file = IntentFile(self._path)
        self.memory = {wish.key: Memory.FREE for wish in self._wishes}
        self.announced: set[SliceKey] = set()
        self.refusing: dict[SliceKey, Code] = {}
        self.sessions = {wish.key: 0 for wish in self._wishes}
        self.aborted: dict[SliceKey, tuple[Code, int]] = {}
        self.acknowledged = 0
        self.lives = {wish.key: Life(wish=wish) for wish in self._wishes}
        for intent in merged(self._configured, self._file.load()):
            if intent.aim is not Aim.LEFT:
                step = revived(intent)
                self.lives[intent.wish.key] = step.life
                self._do(intent.wish.key, step.effects)

    def on_disk(self, key: SliceKey) -> Intent | None:
        """What another process reads of one slice."""
        return {one.wish.key: one for one in IntentFile(self._path).load()}.get(key)

    def happens(self, key: SliceKey, happening: Happening, *, dies_after: int | None = None) -> None:
        """Tell a slice's machine, and do what it says; all of it, or so many effects and then be killed."""
        step = self.lives[key].after(happening)
        effects = step.effects if dies_after is None else step.effects[:dies_after]
        self._do(key, effects)
        self.lives[key] = step.life
        if dies_after is not None:
            raise Killed

    def freed(self, key: SliceKey) -> None:
        """Finish what `Free` began."""
        assert self.memory[key] is Memory.FREEING
        self.memory[key] = Memory.FREE
        self.refusing.pop(key, None)

    def _do(self, key: SliceKey, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Save):
                self._save(effect.intent)
            elif isinstance(effect, Announce):
                assert self.memory[key] is Memory.LOADED, "what is not loaded cannot be announced"
                self.announced.add(key)
                self.refusing.pop(key, None)
            elif isinstance(effect, Withdraw):
                assert self.memory[key] is Memory.LOADED, "there is nothing to take back"
                self.announced.discard(key)
                self.refusing[key] = effect.code
            elif isinstance(effect, Load):
                assert self.memory[key] is Memory.FREE, "nothing is loaded twice"
                self.memory[key] = Memory.LOADING
            elif isinstance(effect, Free):
                assert self.memory[key] in (Memory.LOADING, Memory.LOADED)
                assert key not in self.announced, "sessions could be opened while they are ended"
                self.memory[key] = Memory.FREEING
                self.aborted[key] = effect.code, self.sessions[key]
                self.sessions[key] = 0
            elif isinstance(effect, Acknowledge):
                self.acknowledged += 1

    def _save(self, intent: Intent) -> None:
        if not self.disk_works:
            raise IntentsUnwritable(self._path, "the disk is full", "make room")
        key = intent.wish.key
        forgotten = intent.aim is Aim.LEFT and key not in {one.key for one in self._configured}
        self._file.put(key, None if forgotten else intent)
