from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


# Three processes import torch, which a busy machine takes a minute for.
@pytest.mark.timeout(240)
def test_a_hop_is_measured_in_both_sizes() -> None:
    command = [sys.executable, "-m", "scripts.bench.hop", "--steps", "20", "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    small, large = json.loads(done.stdout)
    assert (small["size_bytes"], large["size_bytes"]) == (2048, 2 << 20)
    for figures in (small, large):
        assert figures["bare_p50_ms"] > 0
        assert figures["one_hop_p50_ms"] > 0
