"""A file of machines as `lamella plan --help` shows it. Imports nothing, so that help is instant."""

from __future__ import annotations

from typing import Final

EXAMPLE: Final = """\
latency_ms = 2            # one way between machines: half of what ping shows
                          # (default 10)

[[machine]]
name = "laptop"
client = true             # asks the questions, keeps the first layers
memory = "4G"             # what Lamella may use of it

[[machine]]
name = "desk"
memory = "8G"
memory_bandwidth = 20     # GB/s, about half of what the memory's label says
                          # (default 12; with device = "cuda": 250)

[[machine]]
name = "attic"
memory = "6G"
uplink = 20               # Mbit/s (default 100)
downlink = 100

[[link]]
between = ["desk", "attic"]
latency_ms = 0.5
rate = 1000               # Mbit/s
"""
