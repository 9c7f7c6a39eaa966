"""Checkpoints of a real size with random weights, made once and kept in the temporary folder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from scripts.make_model import SHAPES

DEFAULT: Final = "qwen2.5-0.5b"


def folder(model: str) -> str:
    """The folder of a shape, made if it is not there; any other word is returned as it is."""
    if model not in SHAPES:
        return model
    made = Path(tempfile.gettempdir()) / f"lamella-{model}"
    if not (made / "config.json").is_file():
        subprocess.run(
            [sys.executable, "-m", "scripts.make_model", "--shape", model, "--out", str(made)],
            check=True,
            stdout=sys.stderr,
        )
    return str(made)
