"""The bounds fit each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wire import limits

SOURCE = Path(limits.__file__).read_text(encoding="utf-8")
NAMES = re.findall(r"^([A-Z][A-Z0-9_]*): Final", SOURCE, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_is_a_positive_number(name: str) -> None:
    value = getattr(limits, name)
    assert type(value) in (int, float)
    assert value > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_time_or_a_rate_may_be_a_fraction_and_nothing_else(name: str) -> None:
    timed = name.endswith(("_S", "_HZ"))
    assert isinstance(getattr(limits, name), float) == timed


def test_no_limit_is_defined_twice() -> None:
    assert len(NAMES) == len(set(NAMES))


def test_records_headers_tensors_and_messages_fit_into_each_other() -> None:
    assert limits.MAX_RECORD_PLAINTEXT_BYTES + 16 == limits.MAX_NOISE_MESSAGE_BYTES
    assert limits.MAX_HEADER_BYTES < limits.MAX_RECORD_PLAINTEXT_BYTES
    prefix_and_padding = 6 + limits.BODY_ALIGNMENT_BYTES
    whole = limits.MAX_TENSOR_BYTES + limits.MAX_HEADER_BYTES + prefix_and_padding
    assert whole <= limits.MAX_MESSAGE_BYTES
    assert limits.MAX_STEP_BYTES <= limits.MAX_TENSOR_BYTES
    assert limits.SESSION_WINDOW_STEPS * limits.MAX_STEP_BYTES < limits.SEND_QUEUE_BYTES


def test_a_window_can_be_credited_in_halves() -> None:
    assert limits.SESSION_WINDOW_STEPS >= 2
    assert limits.SESSION_WINDOW_STEPS % 2 == 0


def test_a_dead_peer_shows_before_a_client_gives_a_step_up() -> None:
    assert limits.ACK_DELAY_S < limits.PING_INTERVAL_S < limits.ACK_TIMEOUT_S < limits.STEP_TIMEOUT_S
    assert limits.DIAL_TIMEOUT_S + limits.HANDSHAKE_TIMEOUT_S < limits.OPEN_TIMEOUT_S


def test_one_client_cannot_take_all_sessions_of_a_host() -> None:
    assert limits.MAX_SESSIONS_PER_PEER < limits.MAX_SESSIONS
    assert limits.MAX_LINKS_PER_ADDRESS < limits.MAX_LINKS
