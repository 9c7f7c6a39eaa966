from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chat.cli import INTERRUPTED, PIPE_CLOSED, main
from chat.driver import ClientOptions, Driver
from chat.errors import Refused
from tests.fakes.driver import FakeDriver, answer
from wire.codes import Code

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("LAMELLA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[ClientOptions]:
    """Let `lamella ask` speak to a fake driver, and keep with which options."""
    seen: list[ClientOptions] = []

    async def connect(options: ClientOptions, progress: Callable[[str], None]) -> Driver:
        seen.append(options)
        if options.network == "refused":
            raise Refused("host x is full", code=Code.TOO_MANY_SESSIONS)
        if options.network == "interrupted":
            raise KeyboardInterrupt
        return FakeDriver(answer("It is 42."))

    monkeypatch.setattr("chat.ask.connect_client", connect)
    return seen


def test_ask_answers_and_ends_with_zero(
    connected: list[ClientOptions], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "What", "is", "it?"]) == 0
    assert capsys.readouterr() == ("It is 42.\n", "")


def test_options_may_stand_before_or_after_the_command(connected: list[ClientOptions]) -> None:
    peers = ["--peer", "127.0.0.1:1", "--peer", "127.0.0.1:2"]
    main(["--model", "a", *peers, "ask", "--private-ends", "What?", "--top-k=5"])
    (options,) = connected
    assert (options.model, options.private_ends, options.sampling.top_k) == ("a", True, 5)
    assert [contact.address.port for contact in options.contacts] == [1, 2]


def test_the_usual_file_is_read_and_options_win_over_it(
    connected: list[ClientOptions], tmp_path: Path
) -> None:
    (tmp_path / "lamella").mkdir()
    (tmp_path / "lamella" / "config.toml").write_text("private-ends = true\nmodel = 'x'\n")
    main(["ask", "--no-private-ends", "What?"])
    assert (connected[0].model, connected[0].private_ends) == ("x", False)


def test_another_file_can_be_named(connected: list[ClientOptions], tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("model = 'y'\n")
    main(["ask", "--config", str(tmp_path / "other.toml"), "What?"])
    assert connected[0].model == "y"


def test_a_failure_is_one_sentence_and_its_own_code(
    connected: list[ClientOptions], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "--network", "refused", "What?"]) == 7
    assert capsys.readouterr() == ("", "lamella: Host x is full.\n")


def test_an_interrupted_answer_ends_as_a_shell_expects(connected: list[ClientOptions]) -> None:
    assert main(["ask", "--network", "interrupted", "What?"]) == INTERRUPTED


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["aks"], "There is no command 'aks'; did you mean 'ask'?"),
        (["--temprature", "2"], "There is no option '--temprature'; did you mean '--temperature'?"),
        (["ask", "--zzz=1"], "There is no option '--zzz'."),
        (["--json"], "Not for this command: --json; `lamella --help` lists what is."),
        (["ask", "--top-p", "2", "What?"], "--top-p must be a number from 0 to 1, not '2'."),
        (["ask", "--peer"], "Argument --peer: expected one argument; `lamella ask --help` lists what is."),
        (["--config", "/nowhere.toml"], "There is no configuration file /nowhere.toml."),
        (["ask", " "], "The question is empty."),
        ([], "The screen needs a terminal. In a script or a pipe, use `lamella ask`."),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == f"lamella: {sentence}\n"


def test_a_question_may_begin_with_dashes_after_two_dashes(connected: list[ClientOptions]) -> None:
    assert main(["ask", "--", "--what?"]) == 0


@pytest.mark.parametrize("argv", [["--help"], ["ask", "--help"]])
def test_help_lists_every_exit_code(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 0
    listed = [
        line.split()[0] for line in capsys.readouterr().out.partition("exit codes:")[2].splitlines() if line
    ]
    assert listed == [*map(str, range(10)), str(INTERRUPTED), str(PIPE_CLOSED)]


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("lamella 0.")


def run(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *words] if code else [sys.executable, "-m", "chat", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_help_and_mistakes_load_nothing_heavy() -> None:
    code = """
import sys
from chat.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
main(["ask", "--top-k", "many", "x"])
heavy = {"torch", "transformers", "textual", "tokenizers", "numpy", "asyncio", "nacl"} & set(sys.modules)
sys.exit(str(sorted(heavy)) if heavy else 0)
"""
    assert run(code=code).returncode == 0


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = """
import sys
import chat.ask
from chat.cli import main
from tests.fakes.driver import FakeDriver, answer

async def connect(options, progress):
    return FakeDriver(answer("word " * 50_000))

chat.ask.connect_client = connect
sys.exit(main(["ask", "What?"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(5) == "word "
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == PIPE_CLOSED


def test_ctrl_c_ends_an_answer_without_a_traceback() -> None:
    code = """
import asyncio, sys
import chat.ask
from chat.cli import main
from tests.fakes.driver import FakeDriver, answer

async def connect(options, progress):
    return FakeDriver([*answer("one two")[:3], asyncio.Event()])

chat.ask.connect_client = connect
sys.exit(main(["ask", "What?"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == "one "
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.stdout.read() == "\n"
        assert process.wait(timeout=30) == INTERRUPTED


def test_the_module_runs_as_a_program() -> None:
    ended = run("ask", "--top-k", "many", "x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "lamella: --top-k must be a whole number from 0 to 4000000, not 'many'.\n"
