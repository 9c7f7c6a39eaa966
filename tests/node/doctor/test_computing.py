"""Torch's build and its speed are judged by what it says of itself; its speed by the memory's in the same run."""

from __future__ import annotations

from typing import Any

import pytest

from node.doctor import computing
from node.doctor.finding import Finding, Verdict
from node.planning.cost import READ_PART
from wire.tensors import WeightFormat

BUILD: dict[str, Any] = {
    "torch": "2.13.0+cpu",
    "python": "3.11.7",
    "processor": "AVX512",
    "flags": {"AVX2": True, "AVX512": True, "AMX": False},
    "cuda": None,
    "gpus": [],
    "packed_halves": True,
    "right": True,
}
GPU = {"name": "A GPU", "device": "cuda:0", "free_bytes": 1, "total_bytes": 2}


async def look_at(**changes: Any) -> Finding:
    async def ask() -> dict[str, Any]:
        return {**BUILD, **changes}

    return await computing.look_at_build(ask)


@pytest.mark.parametrize(
    ("changes", "verdict", "word"),
    [
        ({}, Verdict.OK, "no CUDA"),
        ({"cuda": "13.0", "gpus": [GPU]}, Verdict.OK, "A GPU (cuda:0)"),
        ({"cuda": "13.0"}, Verdict.WARNING, "no GPU seen"),
        ({"processor": "DEFAULT"}, Verdict.WARNING, "can do more"),
        ({"processor": "DEFAULT", "flags": {"AVX2": False}}, Verdict.OK, "nothing special"),
        ({"right": False}, Verdict.PROBLEM, "wrong"),
    ],
)
async def test_a_build_is_judged(changes: dict[str, Any], verdict: Verdict, word: str) -> None:
    found = await look_at(**changes)
    assert found.verdict is verdict
    assert word in found.found


async def measured(part: float, of_int8: float | None = None) -> Finding:
    """A machine whose memory is read at 20 GB/s, and that reaches so much of what is expected."""

    async def ask() -> dict[str, Any]:
        rates = {
            form: computing.expected_gb_per_s(20.0, form) * part
            for form in (WeightFormat.NATIVE, WeightFormat.INT8)
        }
        if of_int8 is not None:
            rates[WeightFormat.INT8] *= of_int8 / part
        return {
            "threads": 2,
            "memory_gb_per_s": 20.0,
            "products": [
                {"weights": form.value, "ms": 1.0, "gb_per_s": rate} for form, rate in rates.items()
            ],
        }

    return await computing.look_at_speed(None, ask)


async def test_speed_is_judged_by_what_the_memory_gave() -> None:
    assert (await measured(1.0)).verdict is Verdict.OK
    assert (await measured(0.6)).verdict is Verdict.OK
    slow = await measured(1.0, of_int8=0.3)
    assert slow.verdict is Verdict.WARNING
    assert "int8 is slower" in slow.found
    assert "native" not in (slow.fix or "")
    assert (await measured(1.0, of_int8=0.01)).verdict is Verdict.PROBLEM


def test_what_is_expected_follows_the_planner() -> None:
    native = computing.expected_gb_per_s(20.0, WeightFormat.NATIVE)
    assert native == 20.0 * computing.NATIVE_PART
    assert computing.expected_gb_per_s(20.0, WeightFormat.INT8) == pytest.approx(
        native * READ_PART[WeightFormat.INT8]
    )
