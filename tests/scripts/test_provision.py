"""`scripts/provision.sh` says in one sentence what is wrong, and vouches only for what it finished.

The interpreter and pip are fakes: a shell script that makes an environment holding a copy of itself. So is `df`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "provision.sh"
PYTHON = r"""#!/usr/bin/env bash
# python -c CODE | -I -c CODE | -V | -m venv DIR | -m pip ... | -I -m pip ...
[[ $1 == -I ]] && shift
prefix=$(dirname "$(dirname "$0")")
case "$*" in
    *version_info*) [[ ! -e $CASE/old ]] ;;
    *ensurepip*) [[ ! -e $CASE/no_venv ]] ;;
    *sys.version*) echo "3.11 fake $prefix" ;;
    *sys.prefix*) echo "$prefix" ;;
    -V) echo "Python 3.11 fake" ;;
    "-m venv "*)
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        echo "#!$3/bin/python" >"$3/bin/pip"
        echo venv >>"$CASE/done"
        ;;
    "-m pip --version") echo "pip fake" ;;
    "-m pip install"*)
        echo "install ${*: -1}" >>"$CASE/done"
        [[ -e $CASE/fails ]] && cat "$CASE/fails" && exit 1
        exit 0
        ;;
    "-m scripts.warm_up")
        echo warm >>"$CASE/done"
        [[ -e $CASE/broken ]] && cat "$CASE/broken" && exit 1
        exit 0
        ;;
    *) exit 9 ;;
esac
"""


class Case:
    """One tree with the script in it, and a fake interpreter."""

    def __init__(self, root: Path) -> None:
        self.tree = root / "tree with a space"
        self.notes = root / "notes"
        self.notes.mkdir()
        (self.tree / "scripts").mkdir(parents=True)
        shutil.copy(SCRIPT, self.tree / "scripts" / "provision.sh")
        (self.tree / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
        (self.tree / "constraints.txt").write_text("", encoding="utf-8")
        self.python = root / "bin" / "fakepython"
        self.python.parent.mkdir()
        self.python.write_text(PYTHON, encoding="utf-8")
        self.python.chmod(0o755)
        self.free_mib(100_000)

    def free_mib(self, free: int) -> None:
        """Make the disk seem to have this much room."""
        df = self.python.with_name("df")
        df.write_text(f"#!/usr/bin/env bash\necho header\necho disk 1 1 {free} 1% /\n", encoding="utf-8")
        df.chmod(0o755)

    def environment(self, python: str | None = None) -> dict[str, str]:
        path = f"{self.python.parent}:{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHON": python or str(self.python), "CASE": str(self.notes)}

    def run(self, python: str | None = None) -> subprocess.CompletedProcess[str]:
        (self.notes / "done").write_text("", encoding="utf-8")
        return subprocess.run(
            ["bash", str(self.tree / "scripts" / "provision.sh")],
            env=self.environment(python),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def done(self) -> list[str]:
        """What the fake was asked to make, in order."""
        return (self.notes / "done").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_torch_comes_first_and_by_itself_and_lamella_last(case: Case) -> None:
    finished = case.run()
    assert finished.returncode == 0, finished.stderr
    assert case.done == ["venv", "install torch==2.13.0", "install setuptools", "install .[dev]", "warm"]


def test_a_second_run_does_nothing_and_says_nothing(case: Case) -> None:
    case.run()
    again = case.run()
    assert (again.returncode, again.stdout, again.stderr, case.done) == (0, "", "", [])


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_what_is_asked_for_changed_so_packages_are_installed_into_the_same_environment(
    case: Case, name: str
) -> None:
    case.run()
    (case.tree / name).write_text("# changed\n", encoding="utf-8")
    assert case.run().returncode == 0
    assert case.done == ["install torch==2.13.0", "install setuptools", "install .[dev]", "warm"]


def test_an_environment_that_an_interrupted_run_left_is_made_anew(case: Case) -> None:
    case.run()
    (case.tree / ".venv" / ".provisioned").unlink()
    (case.tree / ".venv" / ".unfinished").touch()
    assert case.run().returncode == 0
    assert case.done[0] == "venv"


def test_an_environment_without_an_interpreter_is_made_anew(case: Case) -> None:
    case.run()
    (case.tree / ".venv" / "bin" / "python").unlink()
    assert case.run().returncode == 0
    assert case.done[0] == "venv"


def test_an_environment_copied_from_another_folder_is_made_anew(case: Case) -> None:
    case.run()
    moved = case.tree.with_name("elsewhere")
    case.tree.rename(moved)
    case.tree = moved
    assert case.run().returncode == 0
    assert case.done[0] == "venv"


def test_a_failed_install_shows_the_end_of_the_log_and_is_not_vouched_for(case: Case) -> None:
    (case.notes / "fails").write_text("ERROR: No matching distribution\n", encoding="utf-8")
    failed = case.run()
    assert failed.returncode == 1
    assert "No matching distribution" in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("provision: pip could not install torch")
    (case.notes / "fails").unlink()
    assert case.run().returncode == 0
    assert case.done[0] == "venv"


def test_what_installs_and_does_not_run_is_said_and_not_vouched_for(case: Case) -> None:
    (case.notes / "broken").write_text("Illegal instruction\n", encoding="utf-8")
    failed = case.run()
    assert failed.returncode == 1
    assert "Illegal instruction" in failed.stderr
    assert "does not run on this machine" in failed.stderr.splitlines()[-1]
    assert not (case.tree / ".venv" / ".provisioned").exists()


def test_a_full_disk_is_called_that(case: Case) -> None:
    (case.notes / "fails").write_text("OSError: [Errno 28] No space left on device\n", encoding="utf-8")
    failed = case.run()
    assert failed.returncode == 1
    assert "the disk is full" in failed.stderr


def test_too_little_room_is_said_before_anything_is_installed(case: Case) -> None:
    case.free_mib(900)
    failed = case.run()
    assert failed.returncode == 1
    assert "2500 MiB of disk are needed" in failed.stderr
    assert "900 MiB are free" in failed.stderr
    assert case.done == []


def test_without_a_python_that_is_new_enough_one_sentence_says_so(case: Case) -> None:
    (case.notes / "old").touch()
    failed = case.run()
    assert failed.returncode == 1
    assert failed.stderr.startswith("provision: Python 3.11 or newer was not found")
    assert len(failed.stderr.splitlines()) == 1


def test_a_python_that_does_not_exist_is_not_found_either(case: Case) -> None:
    assert "was not found" in case.run("/nowhere/python3.11").stderr


def test_a_python_without_the_venv_module_names_the_package_to_install(case: Case) -> None:
    (case.notes / "no_venv").touch()
    failed = case.run()
    assert failed.returncode == 1
    assert "python3-venv" in failed.stderr
    assert not (case.tree / ".venv").exists()


def test_two_runs_at_once_make_one_environment(case: Case) -> None:
    command = ["bash", str(case.tree / "scripts" / "provision.sh")]
    both = [
        subprocess.Popen(
            command, env=case.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    assert [one.wait(30) for one in both] == [0, 0]
    assert case.done.count("venv") == 1
