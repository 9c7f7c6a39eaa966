"""Token ids beside hidden states: a host takes them where its layers need them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.lone_session import MIDDLE, assert_ended, feed, opened, step
from tests.fakes.session_chain import CLIENT
from wire.codes import Code
from wire.session import HostedSession, StepArrived


def test_a_step_carries_the_ids_of_its_tokens_just_where_the_layers_need_them() -> None:
    def needing() -> HostedSession:
        machine = HostedSession(MIDDLE, client=CLIENT, hidden_size=1, token_ids=100, now=0.0)
        machine.accept()
        machine.messages_to_send()
        return machine

    told = replace(step(0, count=2), tokens=(0, 99))
    machine = needing()
    feed(machine, told)
    assert machine.events() == [StepArrived(told)]
    for wrong in (None, (0,), (0, 1, 2), (0, 100)):
        machine = needing()
        feed(machine, replace(told, tokens=wrong))
        assert_ended(machine, Code.BAD_TOKENS)
    machine = opened()
    feed(machine, told)
    assert_ended(machine, Code.BAD_TOKENS)
