"""Whether torch is one that a host is fast with here, and whether it is as fast as the memory allows.

A token's step reads all weights once, so no format can be faster than the memory. What is expected is a part of what
the memory gave in the same run, on the same threads: so another program that takes half the machine halves both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from node.control_text import count_of
from node.doctor import child
from node.doctor.finding import Finding, ok, problem, warning
from node.planning.cost import READ_PART
from wire.tensors import WeightFormat

BUILD_S: Final = 60.0
"""Importing torch from a slow disk takes most of it."""
SPEED_S: Final = 90.0
NATIVE_PART: Final = 0.7
"""Of the rate at which memory is read, that at which native weights are; measured on two cores with AVX-512."""
_SLOW: Final = 0.5
"""Of what is expected; below it something is wrong, and not only another program busy."""
_BROKEN: Final = 0.05
_PROCESSORS: Final = ("AVX2", "AVX512")
"""What torch calls the instructions its kernels are fast with on x86."""

Ask = Callable[[], Awaitable[dict[str, Any]]]
"""Asks `node.slices.gauge`."""


async def look_at_build(ask: Ask | None = None) -> Finding:
    """Look at torch's build."""
    found = await (ask() if ask is not None else child.ask("build"))
    flags = [name for name, there in found["flags"].items() if there]
    gpus = [f"{one['name']} ({one['device']})" for one in found["gpus"]]
    shown = (
        f"torch {found['torch']} computes with {found['processor']} ({', '.join(flags) or 'nothing special'}), "
        + (f"CUDA {found['cuda']}: {', '.join(gpus) or 'no GPU seen'}" if found["cuda"] else "no CUDA")
    )
    if not found["right"]:
        return problem(
            f"{shown}; a product in bfloat16 came out wrong",
            "install torch again, in the version that Lamella asks for; if it stays so, test the machine's memory",
            **found,
        )
    x86 = found["flags"].get("AVX2", False)
    if x86 and found["processor"] not in _PROCESSORS:
        return warning(
            f"{shown}; the processor can do more than torch uses",
            "unset ATEN_CPU_CAPABILITY, or install another build of torch",
            **found,
        )
    if found["cuda"] and not gpus:
        return warning(
            shown, "install the GPU's driver, or a build of torch without CUDA, which is smaller", **found
        )
    return ok(shown, **found)


async def look_at_speed(threads: int | None, ask: Ask | None = None) -> Finding:
    """Measure products in each weight format, and judge them by the memory's speed."""
    found = await (ask() if ask is not None else child.ask("speed", threads=threads))
    memory = found["memory_gb_per_s"]
    rows = []
    for one in found["products"]:
        expected = expected_gb_per_s(memory, WeightFormat(one["weights"]))
        rows.append({**one, "expected_gb_per_s": expected, "part": one["gb_per_s"] / expected})
    facts = {"threads": found["threads"], "memory_gb_per_s": memory, "products": rows}
    told = ", ".join(
        f"{one['weights']} {one['gb_per_s']:.1f} of {one['expected_gb_per_s']:.1f}" for one in rows
    )
    shown = (
        f"memory is read at {memory:.1f} GB/s by {count_of(found['threads'], 'thread')}; "
        f"measured and expected GB/s of weights: {told}"
    )
    slow = [one for one in rows if one["part"] < _SLOW]
    if not slow:
        return ok(shown, **facts)
    names = " and ".join(one["weights"] for one in slow)
    fix = (
        f"see what else computes now and try again; if it stays so, serve other weights than {names}, or "
        "give --threads the number of real cores"
    )
    if any(one["part"] < _BROKEN for one in slow):
        return problem(f"{shown}; {names} is useless like this", fix, **facts)
    return warning(f"{shown}; {names} is slower than it should be", fix, **facts)


def expected_gb_per_s(memory_gb_per_s: float, weights: WeightFormat) -> float:
    """At which rate weights of a format should be read where memory is read at this one."""
    return memory_gb_per_s * NATIVE_PART * READ_PART[weights]
