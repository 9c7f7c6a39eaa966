"""An interrupt ends the program in the same way from its first moment."""

from __future__ import annotations

import subprocess
import sys

INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "chat.__main__":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from chat import start
start.main()
"""
HELP = "import sys; from chat import start; sys.argv[1:] = ['--help']; start.main()"


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_an_interrupt_while_its_parts_are_read_is_told_by_the_exit_code_alone() -> None:
    done = run(INTERRUPTED)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_otherwise_it_is_the_program() -> None:
    done = run(HELP)
    assert (done.returncode, done.stderr) == (0, "")
    assert "exit codes:" in done.stdout
