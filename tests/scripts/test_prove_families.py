"""The command proves what it is asked to, in processes of their own, and says what it found."""

from __future__ import annotations

import json
import subprocess
import sys

from node.slices.families import read_table


def prove(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.prove_families", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_verdicts_are_those_of_the_table_for_a_family_that_holds_and_ones_that_do_not() -> None:
    done = prove("--only", "gpt2", "hrm_text", "gemma4_assistant", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    table = read_table()
    assert rows == {name: table[name] for name in ("gpt2", "hrm_text", "gemma4_assistant")}
    assert "1 exact, 2 refused" in done.stderr
    assert "full_attention" in done.stderr
