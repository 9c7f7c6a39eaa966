"""What others want of a machine, on one that exists in files only, and on this one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from node.manners.busy import Load, Sample, load_between, read_sample
from tests.fakes.machine_tree import FakeProc


class Machine:
    """A fake machine that is looked at every ten seconds."""

    def __init__(self, root: Path) -> None:
        self.proc = FakeProc(root)
        self.before = self._sample(0.0)
        self.at = 0.0

    def _sample(self, at: float) -> Sample:
        self.proc.write()
        found = read_sample(at, self.proc.root)
        assert found is not None
        return found

    def after_ten_seconds(self) -> Load | None:
        self.at += 10
        after = self._sample(self.at)
        before, self.before = self.before, after
        return load_between(before, after)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "proc")


def test_what_others_use_counts_and_what_this_process_uses_does_not(machine: Machine) -> None:
    machine.proc.user, machine.proc.idle = 1500, 500
    machine.proc.own_user, machine.proc.own_system = 900, 100
    assert machine.after_ten_seconds() == Load(used=0.25, waited=0)


def test_a_machine_that_only_we_use_is_not_busy(machine: Machine) -> None:
    machine.proc.user = machine.proc.own_user = 2000
    machine.proc.waited_us = 9_000_000
    machine.proc.own_waited_ns = [5_000_000_000, 6_000_000_000]
    load = machine.after_ten_seconds()
    assert load == Load(used=0, waited=0)
    assert load.worst == 0


def test_waiting_that_we_do_not_explain_is_that_of_others(machine: Machine) -> None:
    machine.proc.user, machine.proc.own_user = 2000, 1600
    machine.proc.waited_us = 9_000_000
    machine.proc.own_waited_ns = [1_000_000_000, 2_000_000_000]
    load = machine.after_ten_seconds()
    assert load is not None
    assert (load.used, load.waited, load.worst) == pytest.approx((0.2, 0.6, 0.6))


def test_waiting_counts_little_where_others_do_little(machine: Machine) -> None:
    machine.proc.user, machine.proc.own_user = 2000, 1960
    machine.proc.waited_us = 9_000_000
    load = machine.after_ten_seconds()
    assert load is not None
    assert load.worst == pytest.approx(0.08)


def test_waiting_for_disks_and_what_a_hypervisor_took_is_not_work_of_others(machine: Machine) -> None:
    machine.proc.iowait, machine.proc.steal, machine.proc.idle = 800, 800, 400
    assert machine.after_ten_seconds() == Load(used=0, waited=0)


def test_a_kernel_without_pressure_leaves_the_other_sign(machine: Machine) -> None:
    machine.proc.waited_us = None
    machine.proc.user = machine.proc.idle = 1000
    machine.after_ten_seconds()
    machine.proc.user, machine.proc.idle = 2000, 2000
    assert machine.after_ten_seconds() == Load(used=0.5, waited=0)


def test_threads_of_ours_that_ended_take_no_time_from_others(machine: Machine) -> None:
    machine.proc.own_waited_ns = [50_000_000_000]
    machine.proc.user = machine.proc.idle = 1000
    machine.after_ten_seconds()
    machine.proc.own_waited_ns = [0]
    machine.proc.user, machine.proc.idle, machine.proc.waited_us = 2000, 2000, 5_000_000
    load = machine.after_ten_seconds()
    assert load is not None
    assert load.waited == pytest.approx(0.5)


@pytest.mark.parametrize("change", ["user", "own_user", "idle"])
def test_sums_that_go_back_say_nothing(machine: Machine, change: str) -> None:
    for name in ("user", "own_user", "idle"):
        setattr(machine.proc, name, 5000)
    machine.after_ten_seconds()
    for name in ("user", "own_user", "idle"):
        setattr(machine.proc, name, 5000 if name != change else 1)
    assert machine.after_ten_seconds() is None


def test_two_looks_at_once_say_nothing(machine: Machine) -> None:
    assert load_between(machine.before, machine.before) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [("stat", ""), ("stat", "cpu 1 2"), ("stat", "cpu a b c d e f g h"), ("stat", "mem 1 2 3 4 5 6 7 8"),
     ("self/stat", ""), ("self/stat", "1 (x) S 0"), ("self/stat", "1 (x) S " + "-1 " * 40)],
)  # fmt: skip
def test_a_kernel_that_says_something_else_says_nothing(machine: Machine, file: str, content: str) -> None:
    (machine.proc.root / file).write_text(content)
    assert read_sample(1.0, machine.proc.root) is None


@pytest.mark.parametrize(
    "content", ["", "some total=x", "full total=9", "some avg10=0 total=" + "9" * 99, "\xff"]
)
def test_pressure_that_cannot_be_read_is_left_out(machine: Machine, content: str) -> None:
    (machine.proc.root / "pressure" / "cpu").write_text(content)
    found = read_sample(1.0, machine.proc.root)
    assert found is not None
    assert found.waited_us is None or found.waited_us < 10**20


def test_a_thread_that_ends_while_it_is_read_is_left_out(machine: Machine) -> None:
    (machine.proc.root / "self" / "task" / "43" / "schedstat").unlink()
    (machine.proc.root / "self" / "task" / "42" / "schedstat").write_text("what")
    found = read_sample(1.0, machine.proc.root)
    assert found is not None
    assert found.own_waited_us == 0


def test_on_this_machine_our_own_work_is_not_that_of_others() -> None:
    before = read_sample(time.monotonic())
    assert before is not None
    worked = os.times().user
    while os.times().user < worked + 0.6:
        sum(range(10_000))
    after = read_sample(time.monotonic())
    assert after is not None
    assert after.own_ticks - before.own_ticks >= 0.5 * os.sysconf("SC_CLK_TCK")
    load = load_between(before, after)
    assert load is not None
    ours = (after.own_ticks - before.own_ticks) / (after.total_ticks - before.total_ticks)
    assert load.used <= 1 - ours + 0.01
