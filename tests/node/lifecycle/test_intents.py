"""The file of what was asked: it lasts, it is whole, and when it is damaged nobody takes it for none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.lifecycle.errors import IntentsDamaged, IntentsUnreadable, IntentsUnwritable
from node.lifecycle.happenings import Aim, Intent
from node.lifecycle.intents import MAX_INTENTS, IntentFile
from node.lifecycle.wishes import MAX_MODEL_CHARS, SliceKey, Wish
from tests.fakes.unflushed import unflushed
from wire.tensors import WeightFormat
from wire.types import LayerRange


def intent(number: int = 0, aim: Aim = Aim.HELD, model: str = "pocket") -> Intent:
    return Intent(wish=Wish(key=SliceKey(model, LayerRange(number, number + 1))), aim=aim)


def row(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "model": "pocket",
        "layers": "0:6",
        "weights": "int8",
        "aim": "drained",
        "joined": True,
        "paused": False,
        "until": 1.5e9,
    }
    return {**whole, **changes}


@pytest.fixture
def file(tmp_path: Path) -> IntentFile:
    return IntentFile(tmp_path / "folder" / "intents.json")


def written(file: IntentFile, content: object) -> IntentFile:
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


WISHES = st.builds(
    Wish,
    key=st.builds(
        SliceKey,
        st.text(min_size=1, max_size=40).filter(str.isprintable),
        st.none() | st.integers(0, 40).map(lambda one: LayerRange(one, one + 3)),
    ),
    weights=st.none() | st.sampled_from(WeightFormat),
)
INTENTS = st.builds(
    Intent,
    wish=WISHES,
    aim=st.sampled_from(Aim),
    joined=st.booleans(),
    paused=st.booleans(),
    until=st.none() | st.floats(0, 1e10),
)


@given(intents=st.lists(INTENTS, max_size=5, unique_by=lambda one: one.wish.key))
def test_what_was_put_is_what_the_next_process_reads(
    tmp_path_factory: pytest.TempPathFactory, intents: list[Intent]
) -> None:
    path = tmp_path_factory.mktemp("intents") / "intents.json"
    file = IntentFile(path)
    with unflushed():
        for one in intents:
            file.put(one.wish.key, one)
    assert list(IntentFile(path).load()) == intents
    assert list(file.load()) == intents


def test_no_file_means_that_nothing_was_asked(file: IntentFile) -> None:
    assert file.load() == ()
    assert not file.path.parent.exists()


def test_a_slice_that_is_forgotten_is_gone_and_the_others_stay(file: IntentFile) -> None:
    for number in range(3):
        file.put(intent(number).wish.key, intent(number))
    file.put(intent(1).wish.key, None)
    assert IntentFile(file.path).load() == (intent(0), intent(2))


def test_what_a_killed_writer_left_is_removed_and_nothing_else(file: IntentFile) -> None:
    file.put(intent().wish.key, intent())
    others = [file.path.with_name(name) for name in (".intents.jsonx", "intents.json.damaged", ".other.abc")]
    for path in (file.path.with_name(".intents.json.abc"), *others):
        path.write_text("torn")
    assert file.load() == (intent(),)
    assert set(file.path.parent.iterdir()) == {file.path, *others}


def test_the_file_is_for_this_user_alone(file: IntentFile) -> None:
    file.put(intent().wish.key, intent())
    assert file.path.stat().st_mode & 0o077 == 0
    assert file.path.parent.stat().st_mode & 0o077 == 0


def test_the_longest_file_is_read_again(file: IntentFile) -> None:
    with unflushed():
        for number in range(MAX_INTENTS):
            one = intent(number, model="\U0001f7e2" * MAX_MODEL_CHARS)
            file.put(one.wish.key, one)
    assert len(IntentFile(file.path).load()) == MAX_INTENTS
    with pytest.raises(IntentsUnwritable, match=f"no more than {MAX_INTENTS}"):
        file.put(intent(500).wish.key, intent(500))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"{}",
        {"version": 0, "slices": []},
        {"version": True, "slices": None},
        {"version": 1, "slices": {}},
        {"version": 1, "slices": [row()] * 2},
        {"version": 1, "slices": [7]},
        {"version": 1, "slices": [row(layers=f"{one}:{one + 1}") for one in range(MAX_INTENTS + 1)]},
        b" " * 5_000_000,
    ],
    ids=range(13),
)
def test_a_damaged_file_is_not_taken_for_none(file: IntentFile, content: object) -> None:
    with pytest.raises(IntentsDamaged, match="does not say what was asked") as caught:
        written(file, content).load()
    assert "counts as drained" in caught.value.next_step
    assert caught.value.path == file.path


def test_a_row_is_read(file: IntentFile) -> None:
    (one,) = written(file, {"version": 1, "slices": [row()]}).load()
    assert one.aim is Aim.DRAINED
    assert one.wish == Wish(key=SliceKey("pocket", LayerRange(0, 6)), weights=WeightFormat.INT8)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": 7},
        {"model": ""},
        {"model": "a\nb"},
        {"layers": "6:0"},
        {"layers": 6},
        {"weights": "int3"},
        {"weights": []},
        {"aim": "dreined"},
        {"aim": None},
        {"joined": 1},
        {"paused": None},
        {"until": "soon"},
        {"until": True},
        {"until": -1},
        {"until": 1e300},
        {"until": float("nan")},
        {"until": float("inf")},
        {"more": 1},
    ],
    ids=str,
)
def test_nothing_is_guessed_of_a_row_that_is_half_understood(
    file: IntentFile, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntentsDamaged, match="cannot be read"):
        written(file, {"version": 1, "slices": [row(layers="9:12"), row(**changes)]}).load()


def test_a_row_that_lacks_something_is_damaged(file: IntentFile) -> None:
    for name in row():
        short = {key: value for key, value in row().items() if key != name}
        with pytest.raises(IntentsDamaged):
            written(file, {"version": 1, "slices": [short]}).load()


def test_a_file_of_a_later_version_is_told_as_one(file: IntentFile) -> None:
    with pytest.raises(IntentsDamaged, match="later version"):
        written(file, {"version": 2, "slices": [], "new": 1}).load()


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_damaged_and_hangs_nobody(file: IntentFile, kind: str) -> None:
    file.path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(file.path)
    else:
        file.path.mkdir()
    with pytest.raises(IntentsDamaged, match="no file"):
        file.load()


def test_what_the_system_does_not_let_us_read_is_told(file: IntentFile) -> None:
    file.path.parent.mkdir()
    file.path.symlink_to(file.path)
    with pytest.raises(IntentsUnreadable, match="cannot be read"):
        file.load()


def test_a_damaged_file_is_kept_beside_the_new_one(file: IntentFile) -> None:
    for content in (b"torn", b"torn again"):
        written(file, content)
        with pytest.raises(IntentsDamaged):
            file.load()
        aside = file.start_over([intent(3, Aim.DRAINED)])
        assert aside.read_bytes() == content
        assert IntentFile(file.path).load() == (intent(3, Aim.DRAINED),)


def test_at_no_moment_of_starting_over_there_is_no_file(
    file: IntentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(file, b"torn")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for step in ("link", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(IntentsUnwritable, match="No space left"):
                file.start_over([])
        with pytest.raises(IntentsDamaged):
            IntentFile(file.path).load()


def test_what_the_disk_does_not_take_is_told_and_the_old_stays(
    file: IntentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.put(intent().wish.key, intent())

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(IntentsUnwritable, match="nothing was changed") as caught:
            file.put(intent().wish.key, intent(aim=Aim.DRAINED))
    assert "make room" in caught.value.next_step
    assert IntentFile(file.path).load() == (intent(),)


def test_after_a_write_of_which_nobody_knows_what_it_left_the_same_intent_is_written_again(
    file: IntentFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.put(intent().wish.key, intent())
    flushed: list[int] = []

    def breaks_at_the_folder(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) == 2:
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", breaks_at_the_folder)
        with pytest.raises(IntentsUnwritable):
            file.put(intent().wish.key, intent(aim=Aim.DRAINED))
    file.put(intent().wish.key, intent())
    assert IntentFile(file.path).load() == (intent(),)
