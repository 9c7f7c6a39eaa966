"""The command explains itself, and refuses what it does not know."""

from __future__ import annotations

import pytest

from scripts import train_pocket


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        train_pocket.main(["--help"])
    text = capsys.readouterr().out
    for option in ("--steps", "--seed", "--out", "--workers", "--work", "--save-every", "--evaluate-only"):
        assert option in text


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(SystemExit, match="2"):
        train_pocket.main(["--gpu"])
