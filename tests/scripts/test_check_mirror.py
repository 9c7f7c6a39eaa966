"""The mirror check finds what it is there to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_mirror

FUNCTION = "def act() -> None: ...\n"


def write(root: Path, path: str, text: str = FUNCTION) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_a_module_without_a_test_is_named_with_the_path_to_write(tmp_path: Path) -> None:
    write(tmp_path, "wire/messages/link.py")
    (line,) = check_mirror.untested(tmp_path)
    assert "wire/messages/link.py" in line
    assert "tests/wire/messages/test_link.py" in line


def test_a_module_with_its_test_at_the_mirrored_path_is_fine(tmp_path: Path) -> None:
    write(tmp_path, "wire/messages/link.py")
    write(tmp_path, "tests/wire/messages/test_link.py")
    assert check_mirror.untested(tmp_path) == []
    assert check_mirror.astray(tmp_path) == []


def test_a_test_in_the_wrong_folder_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "wire/messages/link.py")
    write(tmp_path, "tests/wire/test_link.py")
    assert len(check_mirror.untested(tmp_path)) == 1
    assert len(check_mirror.astray(tmp_path)) == 1


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_a_packages_own_files_need_no_test(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"node/{name}")
    assert check_mirror.untested(tmp_path) == []


def test_a_module_of_constants_and_plain_classes_needs_no_test(tmp_path: Path) -> None:
    write(tmp_path, "wire/limits.py", "MOST = 3\n\nclass Event:\n    size: int\n")
    assert check_mirror.untested(tmp_path) == []


@pytest.mark.parametrize(
    "source", ["class Event:\n    def size(self): ...\n", "async def act(): ...\n", "act = lambda: 1\n"]
)
def test_any_behaviour_needs_a_test(tmp_path: Path, source: str) -> None:
    write(tmp_path, "chat/events.py", source)
    assert len(check_mirror.untested(tmp_path)) == 1


def test_a_shell_scripts_test_has_its_script(tmp_path: Path) -> None:
    write(tmp_path, "scripts/provision.sh", "true\n")
    write(tmp_path, "tests/scripts/test_provision.py")
    assert check_mirror.astray(tmp_path) == []


def test_tests_of_no_module_are_free_in_their_names(tmp_path: Path) -> None:
    write(tmp_path, "tests/end_to_end/test_a_whole_swarm.py")
    assert check_mirror.astray(tmp_path) == []


def test_the_exit_status_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_mirror.main() == 0
    write(tmp_path, "crypto/keys.py")
    assert check_mirror.main() == 1
    assert "tests/crypto/test_keys.py" in capsys.readouterr().out


def test_every_listed_proof_exists() -> None:
    root = Path(check_mirror.__file__).parents[1]
    assert [proof for proof in check_mirror.PROOFS if not (root / "tests" / proof).is_file()] == []
