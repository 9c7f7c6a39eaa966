"""Entry point of `lamella` and `python -m chat`."""

import sys

from chat.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
