"""Begins `lamella-node`: who gives up while its parts are still read ends it as later, without a word."""

import sys
from typing import NoReturn

_INTERRUPTED = 130


def main() -> NoReturn:
    """Run `lamella-node` and end the process with its exit code."""
    try:
        from node import __main__ as program
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    program.main()
