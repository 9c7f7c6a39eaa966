"""What goes on beside serving: signs of life, watching the machine and this process, a page of figures, reloading."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, NoReturn

from node import status_text
from node.config import NodeConfig
from node.controlling import Controlling, Parts
from node.lifecycle.errors import HostStopping
from node.lifecycle.retrying import Retrying
from node.lifecycle.table import State
from node.manners.allowance import Shares
from node.manners.decide import Verdict
from node.manners.terms import MannersTerms
from node.manners.watcher import Watcher
from node.reloading import Applier, Reloading
from node.seeing import Seeing, metrics_of, open_pages
from node.service.notify import Notifier
from node.sight.logs import Logs
from node.sight.watch import Watch
from node.supervising import Part, Supervisor

log = logging.getLogger(__name__)

_SAY_S: Final = 1.0
"""How old the status text may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Where a host reports to."""

    logs: Logs
    notifier: Notifier
    """Says to systemd how the host is; the caller closes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What is kept up for one host."""

    notifier: Notifier
    reloading: Reloading
    sentence: Callable[[], str]
    """What the host does now, in one line."""


@asynccontextmanager
async def kept_up(
    parts: Parts,
    controlling: Controlling,
    reporting: Reporting,
    read: Callable[[], NodeConfig] | None,
    *,
    on_failure: Callable[[], None] = lambda: None,
) -> AsyncIterator[Upkeep]:
    """Keep all of it up while the host runs.

    Args:
        read: reads the configuration again; None where there is none.
        on_failure: called when a part of this fails too often, which is raised at the end.

    Raises:
        NodeError: the port for figures cannot be opened, or a part failed too often.
    """
    logs, notifier = reporting.logs, reporting.notifier
    watch = Watch(parts.host.compute, loading=lambda: _is_loading(parts))
    watcher = Watcher(_terms(parts.config), partial(_hold_back, parts))
    reloading = Reloading(
        parts.config, read=read or (lambda: parts.config), appliers=_appliers(parts, controlling, watcher)
    )
    retrying = Retrying(parts.keeper.status, parts.keeper.again, clock=monotonic)
    seeing = Seeing(parts, controlling)
    metrics = metrics_of(parts, seeing, watch, logs)
    controlling.measured = metrics.values
    controlling.held_back = lambda: watcher.verdict.reason if watcher.verdict.pause else None
    if read is not None:
        controlling.reloaded = reloading.reload
    sentence = partial(_sentence, parts, controlling)
    running = asyncio.create_task(
        Supervisor(
            [
                Part(name="signs of life", run=lambda: notifier.keep_alive(lambda: watch.healthy() is None)),
                Part(name="status text", run=lambda: _say(notifier, sentence)),
                Part(name="watch", run=watch.run),
                Part(name="manners", run=watcher.run),
                Part(name="log", run=lambda: _settle(logs)),
                Part(name="slices that failed", run=retrying.run),
            ]
        ).run()
    )

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            on_failure()

    running.add_done_callback(ended)
    pages = None
    try:
        if parts.config.metrics is not None:
            pages = await open_pages(parts.config.metrics, seeing, metrics, watch)
        yield Upkeep(notifier=notifier, reloading=reloading, sentence=sentence)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        if pages is not None:
            await pages.close()


async def _hold_back(parts: Parts, verdict: Verdict) -> None:
    log.info("%s", verdict.reason or "new sessions are taken again")
    with suppress(HostStopping):
        await parts.keeper.hold_back(verdict.pause)


async def _say(notifier: Notifier, sentence: Callable[[], str]) -> NoReturn:
    """Keep the status text true, which systemd shows to whoever looks at the service."""
    if not notifier.active:
        await asyncio.get_running_loop().create_future()
    while True:
        notifier.status(sentence())
        await asyncio.sleep(_SAY_S)


async def _settle(logs: Logs) -> None:
    """Sum up what floods were held back, now and then."""
    while True:
        await asyncio.sleep(1.0)
        logs.settle()


def _sentence(parts: Parts, controlling: Controlling) -> str:
    address = next(iter(parts.presence.addresses), None)
    held = sorted(parts.host.slices, key=lambda one: (one.name, one.layers))
    return status_text.sentence(
        controlling.state,
        [f"{one.name} {one.layers}" for one in held],
        controlling.lines(),
        where=None if address is None else str(address),
        why=controlling.why(),
        relays=parts.config.relay,
    )


def _is_loading(parts: Parts) -> bool:
    loading = (State.LOADING, State.RENEWING)
    return not parts.keeper.status() or any(one.state in loading for one in parts.keeper.status())


def _terms(config: NodeConfig) -> MannersTerms:
    return MannersTerms(
        hours=config.hours, pause_on_battery=config.pause_on_battery, busy_above=config.busy_above
    )


def shares_of(config: NodeConfig) -> Shares:
    """What each peer may have of this host."""
    return Shares(sessions=config.max_sessions_per_peer, tokens_per_hour=config.tokens_per_peer)


def _appliers(parts: Parts, controlling: Controlling, watcher: Watcher) -> dict[str, Applier]:
    """What makes each setting hold that can be changed while the host runs."""
    admission = parts.host.admission

    def manners(config: NodeConfig) -> None:
        watcher.change(_terms(config))

    def most(config: NodeConfig) -> None:
        admission.max_sessions = config.max_sessions
        admission.share(shares_of(config))

    def contacts(config: NodeConfig) -> None:
        parts.presence.add_contacts((*config.peers, *config.invited))

    def grace(config: NodeConfig) -> None:
        controlling.configured_grace_s = config.grace_s
        controlling.drain_grace_s = config.drain_grace_s

    return {
        "log_level": lambda config: logging.getLogger().setLevel(config.log_level.upper()),
        "grace": grace,
        "drain_grace": grace,
        "max_sessions": most,
        "max_sessions_per_peer": most,
        "tokens_per_peer": most,
        "peers": contacts,
        "join": contacts,
        "upload_rate": parts.traffic.limit,
        "download_rate": parts.traffic.limit,
        "hours": manners,
        "pause_on_battery": manners,
        "busy_above": manners,
    }
