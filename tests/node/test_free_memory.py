"""What a process may take of the memory of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.free_memory import Unmeasured, free_memory


def test_free_memory_is_what_the_system_calls_available(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  100 kB\nMemAvailable:   64 kB\nMemFree: 1 kB\n")
    assert free_memory(tmp_path / "meminfo") == 64 * 1024


@pytest.mark.parametrize("text", ["", "MemFree: 1 kB\n", "MemAvailable: lots\n", "MemAvailable:\n"])
def test_a_system_that_does_not_say_is_asked_of_the_person(tmp_path: Path, text: str) -> None:
    (tmp_path / "meminfo").write_text(text)
    with pytest.raises(Unmeasured, match="--memory"):
        free_memory(tmp_path / "meminfo")
    with pytest.raises(Unmeasured, match="--memory"):
        free_memory(tmp_path / "nowhere")
