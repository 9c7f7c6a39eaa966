"""The packaged model is the one that was released, and a changed byte of it shows."""

from __future__ import annotations

import shutil
from pathlib import Path

from node.doctor import packaged
from node.doctor.finding import Verdict
from node.store import checkpoint


async def test_the_packaged_model_is_the_one_that_is_pinned() -> None:
    found = await packaged.look()
    assert found.verdict is Verdict.OK, f"if the model was changed on purpose, POCKET is now {found.facts}"


async def test_one_changed_byte_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(checkpoint.resolve("pocket"), folder)
    assert (await packaged.look(folder)).verdict is Verdict.OK
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    found = await packaged.look(folder)
    assert found.verdict is Verdict.PROBLEM
    assert "install Lamella again" in (found.fix or "")


async def test_a_file_that_is_cut_short_or_gone_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(checkpoint.resolve("pocket"), folder)
    (folder / "tokenizer.json").unlink()
    assert (await packaged.look(folder)).verdict is Verdict.PROBLEM
    (folder / "model.safetensors").write_bytes(b"short")
    assert "cannot be read" in (await packaged.look(folder)).found
