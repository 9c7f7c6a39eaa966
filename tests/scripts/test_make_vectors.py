from __future__ import annotations

from pathlib import Path

import pytest

from scripts import make_vectors


def test_the_checked_in_vectors_are_what_the_code_makes() -> None:
    assert make_vectors.main(["--check"]) == 0


def test_a_changed_or_missing_vector_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_vectors, "DIRECTORY", tmp_path)
    assert make_vectors.main(["--check"]) == 1
    assert make_vectors.main([]) == 0
    assert make_vectors.main(["--check"]) == 0
    path = tmp_path / "identity.json"
    path.write_text(path.read_text(encoding="utf-8").replace("a", "b", 1), encoding="utf-8")
    capsys.readouterr()
    assert make_vectors.main(["--check"]) == 1
    assert "identity.json" in capsys.readouterr().err
