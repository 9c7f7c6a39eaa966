from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


# Eleven processes, one after the other, which a busy machine takes a while for.
@pytest.mark.timeout(200)
def test_a_transfer_is_measured_and_no_wrong_byte_is_on_disk() -> None:
    command = [sys.executable, "-m", "scripts.bench.transfer", "--megabytes", "32", "--rounds", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["wrong_chunks"] == 0
    assert "sent wrong bytes" in figures["dropped"]
    assert figures["two_sources_mb_per_s"] > 0
    assert figures["sha256_mb_per_s"] > 0
    assert figures["lying_ratio"] > 0
    assert figures["stalling_ratio"] > 0
