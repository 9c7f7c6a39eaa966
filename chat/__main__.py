"""Entry point of `lamella` and `python -m chat`."""

import os
import sys
from typing import NoReturn

from chat import cli


def main() -> NoReturn:
    """Run `lamella` and end the process with its exit code."""
    code = cli.main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = cli.PIPE_CLOSED
    # Everything is closed and written; taking torch down module by module would cost more than a second.
    os._exit(code)


if __name__ == "__main__":
    main()
