"""Routes and figures in words, for the terminal and the screen alike. Text in, text out: no colour, no layout."""

from __future__ import annotations

from collections.abc import Sequence

from chat.events import Stats
from chat.route import Hop, Route

HERE = "this machine"
LINKS = "links, sampling"
HEADINGS = ("median ms", "layers", "compute", "queue")


def route_line(route: Route) -> str:
    """Return a route in one line: who computes which layers, in order."""
    return " → ".join(f"{who} {what}" for who, what in route_rows(route))


def route_rows(route: Route) -> list[tuple[str, str]]:
    """Return who computes what, in order; the client first, and last again when it keeps the head."""
    rows = [(HERE, f"embedding, {route.front}" if len(route.front) else "embedding")]
    rows += [(hop.peer.short, _held(hop)) for hop in route.hops]
    if route.private_ends:
        rows.append((HERE, "head"))
    return rows


def _held(hop: Hop) -> str:
    layers = str(hop.layers) if len(hop.layers) else ""
    parts = (layers, "head" if hop.tail else "", "sees the text in plain" if hop.sees_tokens else "")
    return ", ".join(filter(None, parts))


def time_rows(stats: Stats, route: Route | None = None) -> list[tuple[str, str, str, str]]:
    """Return `HEADINGS` and a row a stage: where the median decode step spent its time.

    With the route of the answer, its ends are named too.
    """
    names = (
        [what for _, what in route_rows(route)]
        if route is not None
        else [str(hop.layers) for hop in stats.hops]
    )
    rows = [HEADINGS]
    for hop, what in zip(stats.hops, names, strict=False):
        who, queue = (HERE, "") if hop.peer is None else (hop.peer.short, f"{hop.queue_ms:.2f}")
        rows.append((who, what, f"{hop.compute_ms:.2f}", queue))
    return [*rows, (LINKS, "", f"{stats.links_ms:.2f}", "")]


def stats_line(stats: Stats) -> str:
    """Return an answer's figures in one line."""
    reused = f" ({stats.reused_tokens:,} reused)" if stats.reused_tokens else ""
    parts = [
        f"{stats.prompt_tokens:,} tokens in{reused}",
        f"{stats.answer_tokens:,} out",
        f"first after {stats.first_token_s:.2f} s",
    ]
    if stats.decode_tokens_per_s:
        parts.append(f"{stats.decode_tokens_per_s:.1f} tokens/s")
    if stats.seed is not None:
        parts.append(f"seed {stats.seed}")
    return " · ".join(parts)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return `rows` as lines with aligned columns: two of words to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines
