"""What all tests share: examples are judged by what they show, not by how busy the machine is."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# The same examples each time, so that a change is judged by what it changes; `make explore` looks for others.
settings.register_profile("lamella", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("lamella")

# Programs that tests start speak with nobody on the local network, unless a test says so.
os.environ["LAMELLA_LAN"] = "no"

# A shell in the background ignores SIGINT, and nohup SIGHUP; programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make crash` can be told."""
    parser.addoption("--seed", type=int, default=1, help="of what is done at random before a kill")
    parser.addoption("--kills", type=int, default=200, help="how often a host is killed")
