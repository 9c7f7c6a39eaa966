"""What all tests share: examples are judged by what they show, not by how busy the machine is."""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("lamella", deadline=None)
settings.load_profile("lamella")

# A shell that runs us in the background has SIGINT ignored, and programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
