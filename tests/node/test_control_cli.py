"""A person asks a running host from a terminal."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node import control_cli
from node.control.arguments import DrainArguments, JoinArguments, LogLevel, LogsArguments, NoArguments
from node.control.commands import COMMANDS, DRAIN, JOIN, LOGS, STATUS
from node.control.limits import CANCEL_S
from node.control.server import ControlServer
from node.control_cli import ControlConfig
from tests.fakes.control import DEADLINE_S, IdleHost, serving, short_folder
from tests.fakes.deadline import until
from wire.types import LayerRange

PROGRAM = "import sys; from node import control_cli; sys.exit(control_cli.main(sys.argv[1:]))"


@asynccontextmanager
async def ctl(server: ControlServer, *words: str) -> AsyncIterator[Process]:
    """`lamella-node ctl` as a process of its own, killed at the end if it still runs."""
    given = (sys.executable, "-c", PROGRAM, *words, "--socket", str(server.path))
    process = await asyncio.create_subprocess_exec(*given, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(server: ControlServer, *words: str) -> tuple[int, list[str], list[str]]:
    """The exit code, and the lines on standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    config = control_cli.parse([*words, "--socket", str(server.path)])
    code = await control_cli.run(config, out, err)
    return code, out.getvalue().splitlines(), err.getvalue().splitlines()


@pytest.mark.parametrize(
    ("words", "config"),
    [
        ("status", ControlConfig(command=STATUS, arguments=NoArguments())),
        ("--json status", ControlConfig(command=STATUS, arguments=NoArguments(), json=True)),
        ("status --json", ControlConfig(command=STATUS, arguments=NoArguments(), json=True)),
        ("status --socket /s", ControlConfig(command=STATUS, arguments=NoArguments(), socket=Path("/s"))),
        ("status --control /s", ControlConfig(command=STATUS, arguments=NoArguments(), socket=Path("/s"))),
        ("--socket /s status", ControlConfig(command=STATUS, arguments=NoArguments(), socket=Path("/s"))),
        (
            "join hf:a/b --layers 6:12",
            ControlConfig(command=JOIN, arguments=JoinArguments(model="hf:a/b", layers=LayerRange(6, 12))),
        ),
        ("drain", ControlConfig(command=DRAIN, arguments=DrainArguments())),
        (
            "drain pocket/6:12 --grace 1.5",
            ControlConfig(command=DRAIN, arguments=DrainArguments(slice="pocket/6:12", grace_s=1.5)),
        ),
        (
            "logs --follow --lines 5 --level error",
            ControlConfig(command=LOGS, arguments=LogsArguments(follow=True, lines=5, level=LogLevel.ERROR)),
        ),
    ],
)
def test_words_become_a_request(words: str, config: ControlConfig) -> None:
    assert control_cli.parse(words.split()) == config


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "the following arguments are required: COMMAND;"),
        ("statsu", "there is no command 'statsu'; did you mean status?"),
        ("join", "the following arguments are required: MODEL"),
        ("join m --layers 12:6", "argument --layers: '12:6' is not layers START:END, as in 6:12; `"),
        ("drain --grace soon", "argument --grace: 'soon' is not a number from 0 to 86400; `"),
        ("logs --level grave", "'grave' is not one of debug, info, warning, error"),
        ("status now", "unrecognized arguments: now"),
    ],
)
def test_wrong_words_are_one_sentence_and_exit_code_2(
    words: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        control_cli.parse(words.split())
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_wrong_words_are_told_to_a_script_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        control_cli.parse(["join", "--json"])
    assert "MODEL" in json.loads(capsys.readouterr().out)["message"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_typed_and_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [command, "pocket"] if command == "join" else [command]
    assert control_cli.parse(words).command is COMMANDS[command]
    with pytest.raises(SystemExit) as ended:
        control_cli.parse([command, "--help"])
    assert ended.value.code == 0
    assert f"lamella-node ctl {command}" in capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        control_cli.parse(["--help"])
    told = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in told] == []


async def test_a_result_is_told_to_a_person() -> None:
    async with serving(IdleHost()) as server:
        code, out, err = await said(server, "status")
    assert (code, out[0], err) == (0, "state      serving", [])


async def test_progress_stands_aside_from_the_result() -> None:
    async with serving(IdleHost()) as server:
        code, out, err = await said(server, "join", "pocket")
    assert (code, out) == (0, ["pocket/6:12 is serving after 2 s"])
    assert err == ["pocket/6:12: loading 0%", "pocket/6:12: loading 100%"]


async def test_a_script_gets_the_hosts_own_lines() -> None:
    async with serving(IdleHost()) as server:
        code, out, err = await said(server, "join", "pocket", "--json")
        assert (code, err) == (0, [])
        assert [set(json.loads(line)) - {"v", "id"} for line in out] == [{"progress"}, {"progress"}, {"ok"}]
        code, out, err = await said(server, "join", "missing", "--json")
        assert (code, err) == (1, [])
        assert json.loads(out[0])["error"]["code"] == "failed"


async def test_records_of_the_log_are_the_result() -> None:
    async with serving(IdleHost()) as server:
        code, out, err = await said(server, "logs")
    assert code == 0 and out[0].endswith("INFO    node: ready") and err == []


async def test_an_error_is_one_sentence_and_exit_code_1() -> None:
    async with serving(IdleHost()) as server:
        assert await said(server, "join", "missing") == (
            1,
            [],
            ["lamella-node ctl: there is no such model; name another"],
        )


@pytest.mark.parametrize("as_json", [False, True])
async def test_where_no_host_runs_it_is_said_how_to_start_one(as_json: bool) -> None:
    with short_folder() as folder:
        words = ["status", *(["--json"] if as_json else [])]
        code, out, err = await said(ControlServer(folder / "s", {}), *words)
    assert code == 1
    assert "no host runs at" in err[0] and "start one with" in err[0]
    assert [json.loads(line)["error"]["code"] for line in out] == (["unreachable"] if as_json else [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_gives_the_request_up_at_the_host(number: signal.Signals) -> None:
    host = IdleHost()
    async with (
        serving(host) as server,
        ctl(server, "drain", "--grace", "60") as process,
        asyncio.timeout(DEADLINE_S),
    ):
        assert process.stderr is not None
        assert await process.stderr.readline() == b"pocket/6:12: draining, 1 session, 1 min 0 s left\n"
        process.send_signal(number)
        began = asyncio.get_running_loop().time()
        _, err = await process.communicate()
        # The host's own answer to the cancel is heard; otherwise this takes CANCEL_S.
        assert asyncio.get_running_loop().time() - began < CANCEL_S
        assert process.returncode == 130
        assert err == b"interrupted; the host goes on draining\n"
        await until(lambda: host.cancelled == ["drain"])


async def test_a_reader_that_has_seen_enough_ends_the_following_of_a_log() -> None:
    host = IdleHost()
    host.log_words = "again"
    async with (
        serving(host) as server,
        ctl(server, "logs", "--follow") as process,
        asyncio.timeout(DEADLINE_S),
    ):
        assert process.stdout is not None
        await process.stdout.readline()
        # As `head` does when it has its lines.
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # asyncio hands it out nowhere else
        assert await process.wait() == 0
        await until(lambda: host.cancelled == ["logs"])


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [(">&-", b"0", b""), ("> /dev/full", b"1", b"the answer cannot be written (No space left on device)")],
)
async def test_output_that_goes_nowhere_is_no_traceback(end: str, code: bytes, said: bytes) -> None:
    async with serving(IdleHost()) as server, asyncio.timeout(DEADLINE_S):
        command = f'"$0" -m node ctl status --control "$1" {end}; echo $? >&2'
        given = ("sh", "-c", command, sys.executable, str(server.path))
        process = await asyncio.create_subprocess_exec(*given, stderr=PIPE)
        _, err = await process.communicate()
    *lines, last = err.splitlines()
    assert (last, len(lines)) == (code, 1 if said else 0)
    assert said in err


async def test_progress_that_is_no_news_is_not_repeated() -> None:
    host = IdleHost()
    host.fractions = (0.0, 0.01, 0.02, 0.5, 0.55, 1.0)
    async with serving(host) as server:
        _, _, err = await said(server, "join", "pocket")
    assert [line.rpartition(" ")[2] for line in err] == ["0%", "50%", "100%"]


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


async def test_on_a_terminal_progress_is_one_line_that_is_taken_away() -> None:
    out, err = io.StringIO(), Terminal()
    async with serving(IdleHost()) as server:
        await control_cli.run(control_cli.parse(["join", "pocket", "--control", str(server.path)]), out, err)
    line = "\r\x1b[Kpocket/6:12: loading"
    assert err.getvalue() == f"{line} 0%{line} 100%\r\x1b[K"
    assert out.getvalue() == "pocket/6:12 is serving after 2 s\n"


async def test_a_failure_is_not_written_into_the_line_of_progress() -> None:
    host, err = IdleHost(), Terminal()
    host.fails_at_the_end = True
    async with serving(host) as server:
        config = control_cli.parse(["join", "pocket", "--control", str(server.path)])
        assert await control_cli.run(config, io.StringIO(), err) == 1
    assert err.getvalue().endswith("\r\x1b[Klamella-node ctl: it broke; mend it\n")
