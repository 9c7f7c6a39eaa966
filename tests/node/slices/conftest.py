"""One thread for torch, and tiny checkpoints that a session of tests shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.slices import threads

threads.prepare(1)

import torch  # noqa: E402 - the environment comes first

from scripts.make_model import write_tiny  # noqa: E402

torch.set_num_threads(1)

TinyModels = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Gives the folder of a family's tiny float32 checkpoint, which nobody writes to."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = write_tiny(tmp_path_factory.mktemp(family), family)
        return made[family]

    return get
