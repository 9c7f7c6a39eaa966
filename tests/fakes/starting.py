"""Programs from their first moment, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

_INTERRUPTED = """
import sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "{package}.__main__":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from {package} import start
start.main()
"""
_HELP = "import sys; from {package} import start; sys.argv[1:] = ['--help']; start.main()"


def interrupted(package: str) -> tuple[int, str, str]:
    """Exit code and words of a program that is interrupted while its parts are read."""
    return _run(_INTERRUPTED.format(package=package))


def helping(package: str) -> tuple[int, str, str]:
    """Exit code and words of a program that is asked for its help."""
    return _run(_HELP.format(package=package))


def _run(program: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr
