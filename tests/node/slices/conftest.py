"""One thread for torch, and tiny checkpoints that a session of tests shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.slices import threads

threads.prepare(1)

import torch  # noqa: E402 - the environment comes first

from scripts.family_proof import build_whole  # noqa: E402 - the environment comes first
from scripts.make_model import TINY, write_tiny  # noqa: E402 - the environment comes first

torch.set_num_threads(1)

TinyModels = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Gives the folder of a family's tiny float32 checkpoint, which nobody writes to."""
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            if family in TINY:
                write_tiny(folder, family)
            else:
                build_whole(family, folder)
            made[family] = folder
        return made[family]

    return get
