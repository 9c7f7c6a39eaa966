"""What was found is what is read back, as long as the files are the same; anything else is found out anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node import paths
from node.slices import import_index

NAMES = st.text(max_size=8)
SETS = st.frozensets(NAMES, max_size=3).map(set)
FOUND = st.recursive(
    st.dictionaries(NAMES, SETS, max_size=3),
    lambda inner: st.dictionaries(NAMES | st.frozensets(NAMES, max_size=2), inner | SETS, max_size=3),
    max_leaves=8,
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths.make_private(paths.cache_dir())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FOUND)
def test_what_was_found_is_read_back(tmp_path: Path, found: dict[object, object]) -> None:
    import_index.keep(tmp_path, found)
    assert import_index.load(tmp_path) == found


def test_another_folder_or_a_change_is_found_out_anew(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    import_index.keep(folder, {"a": {frozenset({"torch"}): {"b": {"C"}}}})
    assert import_index.load(folder) is not None
    assert import_index.load(tmp_path) is None
    os.utime(folder, (1, 1))
    assert import_index.load(folder) is None
    assert import_index.load(tmp_path / "none") is None


@pytest.mark.parametrize("found", [None, 3, {}, {"": 3}, {"": [[1, []]]}, {"": [["a", [1]]]}, {"": [["a"]]}])
def test_what_is_damaged_is_found_out_anew(tmp_path: Path, found: object) -> None:
    import_index.keep(tmp_path, {"a": {"b"}})
    file = paths.cache_dir() / "transformers-index.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "found": found}))
    assert import_index.load(tmp_path) is None
    file.write_text("{")
    assert import_index.load(tmp_path) is None


def test_without_a_home_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_index, "_file", lambda: None)
    import_index.keep(tmp_path, {"a": {"b"}})
    assert import_index.load(tmp_path) is None
