"""The sentences of a plan: what was chosen and why, for a person. Values in, text out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wire.tensors import WeightFormat


def gb(nbytes: float) -> str:
    """A size as people count memory: `3.1G`, `640M`; the unit is that of `8G` in a file of machines."""
    return f"{nbytes / (1 << 30):.1f}G" if nbytes >= 1 << 30 else f"{max(1, round(nbytes / (1 << 20)))}M"


def format_reason(weights: WeightFormat, without: Sequence[WeightFormat], asked: WeightFormat | None) -> str:
    """Why the weights are kept as they are."""
    if asked is not None:
        return f"{weights.value} weights were asked for and fit"
    if not without:
        return f"{weights.value} weights fit"
    return f"{weights.value} weights, since {' and '.join(one.value for one in without)} do not fit"


def choice_reason(used: int, there: int, *, exact: bool) -> str:
    """Why these machines."""
    if not used:
        return "the client alone is faster than any route"
    hosts = (
        f"{used} of {there} hosts" if used < there else f"all {there} hosts" if there > 1 else "the one host"
    )
    if exact:
        return f"{hosts}: the least time a token over every choice, order and cut of them"
    return f"{hosts}: the least time a token that a search of the likeliest choices, orders and cuts found"


def left_out(seconds: float, seconds_with: float | None, *, holds_any: bool) -> str:
    """Why no token passes a machine.

    Args:
        seconds: of a step without it.
        seconds_with: of the fastest step with it, infinite where there is none; None when that was not computed.
    """
    if not holds_any:
        return "its memory does not hold one layer beside the process and the sessions"
    if seconds_with is None:
        return "no faster way through it was found"
    if not math.isfinite(seconds_with):
        return "every other machine would have too little to do for a way through it"
    return f"with it a token would take {1e3 * seconds_with:.1f} ms instead of {1e3 * seconds:.1f}"
