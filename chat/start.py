"""Begins `lamella`; see `node.start`."""

from typing import NoReturn

from node.start import begin


def main() -> NoReturn:
    """Run `lamella`."""
    begin("chat")
