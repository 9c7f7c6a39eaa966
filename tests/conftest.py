"""What all tests share: examples are judged by what they show, not by how busy the machine is."""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("lamella", deadline=None)
settings.load_profile("lamella")

# A shell in the background ignores SIGINT, and nohup SIGHUP; programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
