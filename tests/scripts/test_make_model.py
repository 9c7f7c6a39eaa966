"""The same arguments make the same checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.slices.families import FAMILIES
from scripts import make_model


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_seed_decides_every_byte_and_another_seed_other_weights(tmp_path: Path) -> None:
    first, again, other = (
        make_model.write_tiny(tmp_path / name, "qwen3", seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert contents(first) == contents(again)
    assert contents(first) != contents(other)


def test_the_command_writes_a_model_and_the_tokenizer_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "tokenizer.json").write_text("{}")
    arguments = ["make_model", "--family", "llama", "--out", str(out), "--tokenizer", str(source)]
    monkeypatch.setattr("sys.argv", arguments)
    make_model.main()
    assert {"config.json", "tokenizer.json", "model.safetensors.index.json"} <= set(contents(out))
    assert capsys.readouterr().out == f"wrote {out}\n"


def test_every_supported_family_can_be_made() -> None:
    assert set(make_model.TINY) <= set(FAMILIES)
