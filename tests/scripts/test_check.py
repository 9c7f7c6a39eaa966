"""`scripts/check.sh` runs every stage, and is green only when all passed and a test ran. The tools here are fakes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check.sh"
PYTHON = """#!/usr/bin/env bash
case "$2" in
    pytest) printf '%s\\n' "$PYTEST_SAYS"; exit "$PYTEST_EXITS" ;;
    *) exit 0 ;;
esac
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("scripts", ".ci", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "scripts" / "check.sh")
    for name in ("ruff", "mypy", "lint-imports"):
        tool(tmp_path, name, "exit 0")
    tool(tmp_path, "python", PYTHON)
    return tmp_path


def tool(tree: Path, name: str, text: str) -> None:
    path = tree / ".venv" / "bin" / name
    path.write_text(text if text.startswith("#!") else f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def check(tree: Path, says: str = "3 passed in 0.01s", exits: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(tree / "scripts" / "check.sh")],
        env={"PATH": "/usr/bin:/bin", "PYTEST_SAYS": says, "PYTEST_EXITS": str(exits)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_when_all_pass_the_last_line_is_the_test_runners(tree: Path) -> None:
    done = check(tree)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 passed in 0.01s"
    assert all(
        stage in done.stdout for stage in ("format", "lint", "types", "layers", "mirror", "specs", "style")
    )


def test_a_failed_stage_is_shown_and_the_tests_run_all_the_same(tree: Path) -> None:
    tool(tree, "mypy", "echo wrong type; exit 1")
    done = check(tree)
    assert done.returncode == 1
    assert "wrong type" in done.stdout
    assert "3 passed" in done.stdout
    assert done.stderr.strip() == "failed: types"


def test_a_failed_test_fails_the_check(tree: Path) -> None:
    done = check(tree, "1 failed, 3 passed in 0.01s", 1)
    assert done.returncode == 1
    assert done.stderr.strip() == "failed: tests"


@pytest.mark.parametrize("says", ["no tests ran in 0.01s", "4 skipped in 0.01s", "0 passed in 0.01s", ""])
def test_a_run_without_a_passed_test_fails_even_if_the_runner_is_content(tree: Path, says: str) -> None:
    assert check(tree, says, 0).returncode == 1


def test_a_script_that_does_not_parse_fails_the_check(tree: Path) -> None:
    (tree / "scripts" / "broken.sh").write_text("if true; then\n", encoding="utf-8")
    done = check(tree)
    assert done.returncode == 1
    assert "broken.sh" in done.stdout
