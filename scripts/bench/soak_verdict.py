"""What a soak has found: what was counted, what hosts held, and which bars that misses. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from scripts.bench.sampling import Sample

WARM_UP: Final = 0.2
"""The share of the time that does not count: allocators and tables grow until they have what they need."""
MAX_GROWTH: Final = 0.02
"""Of memory, from the first quarter after the warm-up to the last."""
LEAST_SAMPLES: Final = 40
"""With fewer samples growth is told but is no bar: a median of a few says nothing."""
_MB: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that a soak has seen."""

    seconds: float
    counts: Counter[str]
    """What clients told, by the word."""
    wrong: tuple[str, ...]
    failed: tuple[str, ...]
    """Reasons of clients whose swarm failed them; those that were killed tell none."""
    baseline: tuple[Sample, ...]
    """Each host after one visitor and before all others."""
    samples: tuple[tuple[Sample, ...], ...]
    """Each host while visitors were there."""
    after: tuple[Sample, ...]
    """Each host when all had left, and it had had its time to notice."""
    judges_growth: bool = field(default=True)


def growth(values: Sequence[int]) -> float | None:
    """How much the last quarter after the warm-up lies above the first, in shares of it; None for too few values."""
    counted = values[int(len(values) * WARM_UP) :]
    quarter = len(counted) // 4
    if quarter == 0:
        return None
    first, last = statistics.median(counted[:quarter]), statistics.median(counted[-quarter:])
    return last / first - 1


def missed(found: Found) -> list[str]:
    """Every bar that was missed, as a sentence; none when the soak was passed."""
    wrong = [f"an answer was wrong: {one}" for one in found.wrong[:1]]
    if len(found.wrong) > 1:
        wrong.append(f"{len(found.wrong)} answers were wrong")
    failures = [f"{count} answers failed: {why}" for why, count in Counter(found.failed).items()]
    if not found.counts["answered"]:
        failures.append("no answer was finished")
    leaks = [
        f"host {number} kept {words}"
        for number, (before, after) in enumerate(zip(found.baseline, found.after, strict=True))
        for words in after.beyond(before)
    ]
    return wrong + failures + leaks + (_grown(found) if found.judges_growth else [])


def _grown(found: Found) -> list[str]:
    sentences = []
    for number, samples in enumerate(found.samples):
        if len(samples) < LEAST_SAMPLES:
            continue
        for words, values in (
            ("memory", [one.resident_bytes for one in samples]),
            ("memory of its own", [one.own_bytes for one in samples]),
        ):
            grown = growth(values)
            if grown is not None and grown > MAX_GROWTH:
                sentences.append(f"host {number}'s {words} grew by {grown:.1%}")
    return sentences


def as_record(found: Found) -> dict[str, Any]:
    """The report for programs."""
    return {
        "seconds": found.seconds,
        "counts": dict(found.counts),
        "wrong": len(found.wrong),
        "failed": dict(Counter(found.failed)),
        "hosts": [
            {
                "baseline": asdict(before),
                "after": asdict(after),
                "samples": len(samples),
                "memory_growth": growth([one.resident_bytes for one in samples]),
                "own_memory_growth": growth([one.own_bytes for one in samples]),
                "most": {
                    name: max((getattr(one, name) for one in samples), default=0)
                    for name in ("resident_bytes", "files", "threads", "tasks", "links", "sessions")
                },
            }
            for before, samples, after in zip(found.baseline, found.samples, found.after, strict=True)
        ],
        "missed": missed(found),
    }


def as_text(found: Found) -> str:
    """The report for people."""
    told = ", ".join(f"{count} {word}" for word, count in sorted(found.counts.items()))
    lines = [f"{found.seconds:.0f} s: {told}; {len(found.wrong)} wrong"]
    for number, (before, samples, after) in enumerate(
        zip(found.baseline, found.samples, found.after, strict=True)
    ):
        grown = [
            "too short to tell" if one is None else f"{one:+.2%}"
            for one in (
                growth([one.resident_bytes for one in samples]),
                growth([one.own_bytes for one in samples]),
            )
        ]
        lines.append(
            f"host {number}: memory {before.resident_bytes / _MB:.1f} MB before, {after.resident_bytes / _MB:.1f} "
            f"after; growth {grown[0]}, of its own {grown[1]}; "
            f"its loop was late by {after.late_s - before.late_s:.1f} s in all"
        )
        pairs = ((name, getattr(before, name), getattr(after, name)) for name in _TOLD)
        lines.append("  before and after: " + ", ".join(f"{name} {was} {now}" for name, was, now in pairs))
    return "\n".join([*lines, *(f"MISSED: {one}" for one in missed(found))])


_TOLD: Final = ("files", "tasks", "links", "sessions", "threads")
