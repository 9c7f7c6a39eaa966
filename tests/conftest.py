"""What all tests share: examples are judged by what they show, not by how busy the machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lamella", deadline=None)
settings.load_profile("lamella")
