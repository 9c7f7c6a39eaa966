"""The number of threads, and an environment that is set before torch."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
import torch

from node.slices import threads


@pytest.mark.parametrize(
    ("asked", "cores", "configured", "expected"),
    [
        (None, 4, None, 4),
        (3, 4, None, 3),
        (None, 4, "2", 2),
        (3, 4, "2", 3),
        (0, 4, None, 1),
        (None, 500, None, threads.MAX_THREADS),
        (None, 4, "many", 4),
    ],
)
def test_the_caller_decides_then_the_environment_then_the_cores(
    asked: int | None, cores: int, configured: str | None, expected: int
) -> None:
    assert threads.choose(asked, cores=cores, configured=configured) == expected


def test_prepare_sets_the_environment_and_keeps_a_spin_count_the_person_chose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_DEACTIVATE_ASYNC_LOAD"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert threads.prepare(2) == 2
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert os.environ["GOMP_SPINCOUNT"] == str(threads.SPIN_COUNT)
    assert os.environ["HF_DEACTIVATE_ASYNC_LOAD"] == "1"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    threads.prepare(1)
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_apply_gives_torch_the_prepared_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads.apply() == 1
    assert torch.get_num_threads() == 1


def test_what_decides_and_schedules_can_be_imported_without_torch() -> None:
    modules = "threads compute budget sampling portable spec families errors facts".split()
    program = "import sys\n" + "".join(f"import node.slices.{name}\n" for name in modules)
    program += "assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_imports_are_not_looked_through_for_garbage() -> None:
    with threads.importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
