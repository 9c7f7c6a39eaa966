"""The style check finds what it is there to find."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_style


def found(root: Path, path: str, text: str) -> list[str]:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return list(check_style.findings(root))


def handler(caught: str, body: str = "pass") -> str:
    return f"try:\n    act()\nexcept{caught}:\n    {body}\n"


def test_a_file_past_400_lines_is_too_long(tmp_path: Path) -> None:
    assert found(tmp_path, "wire/long.py", "x = 1\n" * 400) == []
    (line,) = found(tmp_path, "wire/long.py", "x = 1\n" * 401)
    assert "401 lines" in line


@pytest.mark.parametrize(
    "path", ["wire/utils.py", "node/helpers/links.py", "chat/common.py", "tests/fakes/misc.py"]
)
def test_a_name_that_names_no_concept_is_refused(tmp_path: Path, path: str) -> None:
    assert len(found(tmp_path, path, "")) == 1


def test_an_assert_outside_tests_is_refused(tmp_path: Path) -> None:
    (line,) = found(tmp_path, "wire/frames.py", "x = 1\nassert x\n")
    assert line.startswith("wire/frames.py:2:")


def test_an_assert_in_a_test_is_how_tests_speak(tmp_path: Path) -> None:
    assert found(tmp_path, "tests/wire/test_frames.py", "assert True\n") == []


@pytest.mark.parametrize(
    "caught", [" Exception", "", " BaseException", " (ValueError, Exception)", " Exception as error"]
)
def test_catching_everything_is_refused(tmp_path: Path, caught: str) -> None:
    assert len(found(tmp_path, "node/daemon.py", handler(caught))) == 1


@pytest.mark.parametrize("caught", [" ValueError", " (OSError, ValueError)"])
def test_catching_what_is_named_is_fine(tmp_path: Path, caught: str) -> None:
    assert found(tmp_path, "node/daemon.py", handler(caught)) == []


def test_a_repair_that_lets_the_error_go_on_is_fine(tmp_path: Path) -> None:
    assert found(tmp_path, "node/daemon.py", handler(" BaseException", "repair(); raise")) == []


def test_a_repair_that_raises_another_error_is_not(tmp_path: Path) -> None:
    assert len(found(tmp_path, "node/daemon.py", handler(" BaseException", "raise ValueError"))) == 1


def test_an_error_that_is_kept_for_whoever_waits_is_fine_and_one_that_is_also_logged_is_not(
    tmp_path: Path,
) -> None:
    assert found(tmp_path, "node/daemon.py", handler(" BaseException as error", "self.error = error")) == []
    swallowed = handler(" BaseException as error", "log(error); self.error = error")
    assert len(found(tmp_path, "node/daemon.py", swallowed)) == 1


def test_an_entry_point_may_catch_everything(tmp_path: Path) -> None:
    assert found(tmp_path, "node/__main__.py", handler(" Exception")) == []


@pytest.mark.parametrize("call", ["eval(x)", "exec(x)", "torch.load(x)", "pickle.loads(x)"])
def test_running_what_came_from_elsewhere_is_refused(tmp_path: Path, call: str) -> None:
    assert len(found(tmp_path, "node/slices/load.py", f"y = {call}\n")) == 1


def test_the_exit_status_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_style.main() == 0
    found(tmp_path, "chat/utils.py", "")
    assert check_style.main() == 1


@pytest.mark.parametrize(
    "line",
    ["x = 1  # noqa: F841", "x = 1  # noqa", "x = 1  # type: ignore[misc]", "# other\n\nx = 1  # noqa: A, B"],
)
def test_an_exception_without_a_reason_is_refused(tmp_path: Path, line: str) -> None:
    (found_line,) = found(tmp_path, "node/daemon.py", line + "\n")
    assert "say why" in found_line


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa: F841 - for its side effect",
        "x = 1  # type: ignore[misc]  # a stub is wrong",
        "# A stub is wrong.\nx = 1  # type: ignore[misc]",
        "# A stub is wrong.\nx = 1  # type: ignore[misc]\ny = 1  # type: ignore[misc]",
        "x = '# noqa'",
    ],
)
def test_an_exception_with_its_reason_is_fine(tmp_path: Path, line: str) -> None:
    assert found(tmp_path, "node/daemon.py", line + "\n") == []
