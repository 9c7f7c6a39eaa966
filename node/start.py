"""Begins a program: who gives up while its parts are still read ends it as later, without a word."""

import importlib
import sys
from typing import NoReturn

_INTERRUPTED = 130


def begin(package: str) -> NoReturn:
    """Run `package.__main__` and end the process with its exit code."""
    try:
        program = importlib.import_module(f"{package}.__main__")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    program.main()
    sys.exit(0)


def main() -> NoReturn:
    """Run `lamella-node`."""
    begin("node")
