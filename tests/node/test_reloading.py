from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from node.config import NodeConfig, SliceRequest
from node.errors import ConfigError
from node.reloading import Reloading

OLD = NodeConfig(slices=(SliceRequest("a", None),))


class Written:
    """What the file says, and who read it."""

    def __init__(self, config: NodeConfig) -> None:
        self.config: NodeConfig | None = config
        self.reader = threading.main_thread()

    def read(self) -> NodeConfig:
        self.reader = threading.current_thread()
        if self.config is None:
            raise ConfigError("it is not TOML", "correct it there")
        return self.config


async def test_what_can_be_applied_is_and_the_rest_waits() -> None:
    rates: list[float | None] = []
    written = Written(replace(OLD, busy_above=0.5, threads=2, disk_bytes=5))
    reloading = Reloading(
        OLD, read=written.read, appliers={"busy_above": lambda config: rates.append(config.busy_above)}
    )  # fmt: skip
    found = await reloading.reload()
    assert (found.applied, found.needs_restart) == (("busy-above",), ("threads", "disk"))
    assert rates == [0.5]
    assert reloading.config == replace(OLD, busy_above=0.5)
    assert written.reader is not threading.main_thread()


async def test_a_second_reload_applies_nothing_twice() -> None:
    seen: list[float] = []
    written = Written(replace(OLD, grace_s=1.0))
    reloading = Reloading(
        OLD, read=written.read, appliers={"grace": lambda config: seen.append(config.grace_s)}
    )
    await asyncio.gather(reloading.reload(), reloading.reload())
    assert seen == [1.0]


async def test_a_file_that_cannot_be_used_changes_nothing_and_the_next_one_counts() -> None:
    seen: list[float] = []
    written = Written(OLD)
    written.config = None
    reloading = Reloading(
        OLD, read=written.read, appliers={"grace": lambda config: seen.append(config.grace_s)}
    )
    with pytest.raises(ConfigError):
        await reloading.reload()
    assert (seen, reloading.config) == ([], OLD)
    written.config = replace(OLD, grace_s=2.0)
    assert (await reloading.reload()).applied == ("grace",)
    assert seen == [2.0]


def test_an_applier_for_what_needs_a_restart_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not reloadable: threads"):
        Reloading(OLD, read=lambda: OLD, appliers={"threads": lambda _config: None})
