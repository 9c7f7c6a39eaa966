"""One answer as it comes: the way it took, its words, and what each stage of that way cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from time import perf_counter

from chat.events import Event, Finished, Planned, Prefilling, Stats, TextDelta
from chat.route import Route
from scripts.swarm_hosts.folder import Host
from scripts.swarm_hosts.screen import Screen


async def show(events: AsyncIterator[Event], hosts: Sequence[Host], screen: Screen, began_s: float) -> None:
    """Show one answer as it comes."""
    names = {host.peer_id: host.name for host in hosts}
    first_s = 0.0
    async for event in events:
        match event:
            case Planned(route=route):
                _show_route(route, names, screen)
            case Prefilling(done_tokens=done, total_tokens=total):
                screen.passing(f"reading the question: {done} of {total} tokens")
            case TextDelta(text=text):
                if not first_s:
                    first_s = perf_counter() - began_s
                    screen.begin("answer")
                screen.add(text)
            case Finished(stats=stats):
                if first_s:
                    screen.end()
                _show_stats(stats, names, first_s, screen)


def _show_route(route: Route, names: Mapping[str | None, str], screen: Screen) -> None:
    stages = [f"you, layers {route.front}"]
    for hop in route.hops:
        name = names.get(str(hop.peer), hop.peer.short)
        head = " and head" if hop.tail else ""
        stages.append(f"{name}, layers {hop.layers}{head}, port {hop.address.port}")
    for index, stage in enumerate(stages):
        screen.say(f"{screen.label('' if index else 'route')}{'→ ' if index else ''}{stage}")
    screen.say(f"{screen.label('')}→ you")


def _show_stats(stats: Stats, names: Mapping[str | None, str], first_s: float, screen: Screen) -> None:
    screen.say()
    screen.say(
        f"{screen.label('first token')}{stats.first_token_s:.2f} s after the question, "
        f"{first_s:.1f} s after the start"
    )
    speed = f"{stats.decode_tokens_per_s:.1f} tokens/s" if stats.decode_tokens_per_s else "one token only"
    screen.say(f"{screen.label('speed')}{screen.strong(speed)}, {stats.answer_tokens} tokens in all")
    screen.say()
    rows = [
        (
            "you" if hop.peer is None else names.get(str(hop.peer), hop.peer.short),
            str(hop.layers),
            f"{hop.compute_ms:.2f} ms",
            f"{hop.queue_ms:.2f} ms",
        )
        for hop in stats.hops
    ]
    rows.append(("links and the rest", "", f"{stats.links_ms:.2f} ms", ""))
    screen.table(("one token spends", "layers", "computing", "waiting"), rows, left=2)
    screen.say()
