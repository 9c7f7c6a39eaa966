from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import swarm
from scripts.swarm_hosts.processes import ProcessId
from tests.fakes.swarm_lab import DEADLINE_S, Lab, read_until, until

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for pid in made.pids():
        process = ProcessId.of(pid)
        if process is not None:
            process.send(signal.SIGKILL)
    for program in made.programs:
        program.kill()
        program.communicate()


def test_a_demo_shows_the_route_the_answer_and_the_times_and_leaves_nothing(lab: Lab) -> None:
    out, err = lab.run("demo", "what is 17 squared?")
    assert err == ""
    assert "\x1b" not in out
    assert "\r" not in out
    for words in (
        "host 1",
        "1:8",
        "8:16",
        "16:24 and head",
        "is[2J 289.",
        "33.3 tokens/s",
        "2.00 ms",
        "→ you",
    ):
        assert words in out
    assert len(lab.pids()) == 3
    # Each host with its address, and the one that the stand-in client knows in its route.
    for port in lab.ports():
        assert f"127.0.0.1:{port} " in out
    assert sum(f"port {port}\n" in out for port in lab.ports()) == 1
    lab.nothing_is_left()
    assert lab.run("status", code=1)[1].startswith("swarm: no swarm runs here")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_hosts_start_leaves_nothing(lab: Lab, number: signal.Signals) -> None:
    program = lab.begin("demo", hosts="serves,never_ready,serves")
    until(lambda: len(lab.ports()) == 3)
    program.send_signal(number)
    _, err = program.communicate(timeout=DEADLINE_S)
    assert program.returncode == 128 + number
    assert err == f"swarm: stopped by {number.name}\n"
    lab.nothing_is_left()


@pytest.mark.parametrize(("client", "word"), [("stuck", "question"), ("hangs", "17 squared ")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_asking_leaves_nothing(
    lab: Lab, client: str, word: str, number: signal.Signals
) -> None:
    program = lab.begin("demo", client=client)
    read_until(program, word)
    program.send_signal(number)
    assert program.wait(timeout=DEADLINE_S) == 128 + number
    lab.nothing_is_left()


def test_a_signal_at_any_moment_of_a_demo_leaves_nothing(lab: Lab) -> None:
    for delay_ms in (0, 200, 350, 500):
        program = lab.begin("demo", client="hangs")
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(timeout=delay_ms / 1000)
        program.send_signal(signal.SIGTERM)
        # Before Python has begun to listen there is nothing to clean up, and the signal ends it the plain way.
        assert program.wait(timeout=DEADLINE_S) in (128 + signal.SIGTERM, -signal.SIGTERM)
        if (lab.folder / "lock").exists():
            lab.nothing_is_left()


def test_a_second_signal_kills_hosts_that_do_not_stop(lab: Lab) -> None:
    program = lab.begin("demo", hosts="deaf", client="hangs")
    read_until(program, "17 squared ")
    began = time.monotonic()
    while any(ProcessId.of(pid) for pid in lab.pids()):
        program.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert program.wait(timeout=DEADLINE_S) == 130
    assert time.monotonic() - began < 5
    lab.nothing_is_left()


def test_hosts_of_a_demo_die_with_it_when_it_is_killed_outright(lab: Lab) -> None:
    program = lab.begin("demo", hosts="deaf", client="hangs")
    read_until(program, "17 squared ")
    program.kill()
    program.wait()
    lab.nothing_is_left()
    out, _ = lab.run("demo")
    assert "clearing what an earlier swarm left; its hosts are gone" in out


def test_a_demo_whose_reader_goes_away_stops_its_hosts(lab: Lab) -> None:
    program = lab.begin("demo", client="hangs")
    read_until(program, "3 hosts for")
    assert program.stdout is not None
    program.stdout.close()
    assert program.wait(timeout=DEADLINE_S) == 128 + signal.SIGPIPE
    lab.nothing_is_left()


@pytest.mark.parametrize(
    ("command", "hosts", "said"),
    [
        (
            "demo",
            "serves,refuses,never_ready",
            "host 2 could not start: there is no model 'x' here; give another",
        ),
        (
            "demo",
            "never_ready,crashes",
            "host 2 could not start: it ended with exit code 1; the end of its log:",
        ),
        (
            "start",
            "serves,serves,refuses",
            "host 3 could not start: there is no model 'x' here; give another",
        ),
        ("start", "serves,missing,serves", "host 2 cannot be started: "),
    ],
)
def test_a_host_that_cannot_start_is_explained_and_the_others_stop(
    lab: Lab, command: str, hosts: str, said: str
) -> None:
    _, err = lab.run(command, hosts=hosts, code=1)
    assert err.startswith(f"swarm: {said}")
    assert "\x1b" not in err
    if "crashes" in hosts:
        assert err.endswith("| the last words\n")
        assert "line 1\n" not in err
    lab.nothing_is_left()
    assert not (lab.folder / "swarm.json").exists()


@pytest.mark.parametrize("client", ["visits", "visits_and_fails"])
def test_a_host_that_dies_during_the_demo_is_the_reason_given(lab: Lab, client: str) -> None:
    _, err = lab.run("demo", hosts="falls,serves,serves", client=client, code=1)
    assert err.startswith("swarm: host 1 is gone: its process (pid ")
    assert err.endswith("ended with exit code 7; the end of its log:\n  | fell over\n")
    lab.nothing_is_left()


def test_a_demo_without_an_answer_ends_with_the_clients_code_and_reason(lab: Lab) -> None:
    _, err = lab.run("demo", client="fails", code=8)
    assert err == "swarm: host ended the session; ask again\n"
    lab.nothing_is_left()


def test_a_started_swarm_outlives_its_command_and_can_be_asked_killed_and_stopped(lab: Lab) -> None:
    out, _ = lab.run("start")
    assert out.count("ready after") == 3
    assert all(ProcessId.of(pid) is not None for pid in lab.pids())
    assert all(os.getsid(pid) == pid for pid in lab.pids())

    _, err = lab.run("start", code=1)
    assert f"a swarm runs here since {time.strftime('%Y-')}" in err
    assert all(str(pid) in err for pid in lab.pids())
    assert "stop it first: scripts/local-swarm.sh stop" in err
    assert len(lab.pids()) == 3

    second = ProcessId.parse((lab.folder / "host-2/process").read_text())
    assert second is not None
    assert second.alive
    out, _ = lab.run("kill", "2")
    assert f"killed host 2 (pid {second.pid}, layers 8:16)" in out
    until(lambda: not second.alive)
    assert "host 2 does not run" in lab.run("kill", "2", code=1)[1]
    assert "there are hosts 1 to 3" in lab.run("kill", "4", code=1)[1]

    status = json.loads(lab.run("status", "--json", code=1)[0])
    assert status["model"] == str(lab.model)
    assert [host["state"] for host in status["hosts"]] == ["silent", "gone", "silent"]
    assert [host["layers"] for host in status["hosts"]] == ["1:8", "8:16", "16:24"]
    assert status["hosts"][0]["resident_bytes"] > 1 << 20

    assert lab.run("stop")[0] == "  stopped 2 hosts\n"
    lab.nothing_is_left()
    assert lab.run("stop")[0] == "  no swarm runs here\n"


def test_a_start_that_is_interrupted_leaves_nothing(lab: Lab) -> None:
    program = lab.begin("start", hosts="serves,serves,never_ready")
    until(lambda: len(lab.ports()) == 3)
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=DEADLINE_S) == 130
    lab.nothing_is_left()


def test_hosts_of_a_start_that_was_killed_outright_are_found_and_stopped(lab: Lab) -> None:
    program = lab.begin("start", hosts="serves,serves,never_ready")
    until(lambda: len(lab.ports()) == 3)
    program.kill()
    program.wait()
    (lab.folder / "swarm.json").write_text("{damaged")
    assert "stop it first" in lab.run("start", code=1)[1]
    assert "cannot be read; run: scripts/local-swarm.sh stop" in lab.run("status", code=1)[1]
    assert lab.run("stop")[0] == "  stopped 3 hosts\n"
    lab.nothing_is_left()


def test_stop_ends_a_demo_that_is_at_work(lab: Lab) -> None:
    program = lab.begin("demo", client="hangs")
    read_until(program, "17 squared ")
    _, err = lab.run("start", code=1)
    assert err.startswith("swarm: `demo` is at work on this swarm since ")
    assert f"(pid {program.pid}); wait for it, or stop it" in err
    lab.run("stop")
    assert program.wait(timeout=DEADLINE_S) == 128 + signal.SIGTERM
    lab.nothing_is_left()


def test_hosts_that_ignore_being_asked_are_killed_when_stop_is_interrupted(lab: Lab) -> None:
    lab.run("start", "--hosts", "2", hosts="deaf")
    stopping = lab.begin("stop")
    until(lambda: '"stop"' in (lab.folder / "lock").read_text())
    stopping.send_signal(signal.SIGINT)
    out, _ = stopping.communicate(timeout=DEADLINE_S)
    assert (stopping.returncode, out) == (0, "  stopped 2 hosts; 2 of them had to be killed\n")
    lab.nothing_is_left()


def test_a_recycled_process_number_is_never_killed(lab: Lab) -> None:
    lab.run("start", "--hosts", "1")
    lab.run("stop")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        other = ProcessId.of(bystander.pid)
        assert other is not None
        stale = ProcessId(other.pid, other.started_ticks - 1, other.boot)
        (lab.folder / "host-1/process").write_text(stale.record())
        assert "its hosts were gone already" in lab.run("stop")[0]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_ports_follow_the_base_port_and_a_taken_one_is_reported(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = taken.getsockname()[1]
        program = lab.begin("demo", "--base-port", str(base), "--hosts", "1")
        _, err = program.communicate(timeout=DEADLINE_S)
    assert program.returncode == 1
    assert "Address already in use" in err
    lab.nothing_is_left()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("start", "--hosts", "24"), "cannot be shared by 24 hosts"),
        (("start", "--layers", "1:8", "--hosts", "3"), "--hosts 3 and 1 times --layers"),
        (("start", "--layers", "8:1"), "argument --layers"),
        (("start", "--base-port", "65535"), "no room for 3 ports"),
        (("start", "--base-port", "x"), "is not a port"),
        (("frob",), "invalid choice"),
        (("stop", "now"), "unrecognized arguments"),
    ],
)
def test_wrong_usage_ends_with_two_and_a_sentence(
    lab: Lab, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ("--model", str(lab.model)) if words[0] == "start" else ()
    try:
        code = swarm.main((*words, *model), swarm.Parts(folder=lab.folder))
    except SystemExit as exit_:
        code = int(str(exit_.code))
    assert code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_asking_without_a_swarm_says_how_to_begin_one(
    lab: Lab, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert swarm.main((command, "--temperature", "1"), swarm.Parts(folder=lab.folder)) == 1
    assert "begin with: scripts/local-swarm.sh start" in capsys.readouterr().err


def test_ask_becomes_lamella_with_the_hosts_filled_in(lab: Lab) -> None:
    lab.run("start", "--hosts", "1")
    _, err = lab.run("ask", "what is 17 squared?", "--no-such-option", code=2)
    assert err.startswith("lamella: There is no option '--no-such-option'")
    lab.run("stop")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the real `local-swarm.sh`, whose provisioning and Python are stand-ins."""
    (tmp_path / "tree/scripts").mkdir(parents=True)
    (tmp_path / "tree/.venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/local-swarm.sh", tmp_path / "tree/scripts")
    python = tmp_path / "tree/.venv/bin/python"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n')
    python.chmod(0o755)
    return tmp_path / "tree"


def provisioning(tree: Path, script: str) -> None:
    """Put a script in place of `provision.sh`."""
    path = tree / "scripts/provision.sh"
    path.write_text("#!/usr/bin/env bash\n" + script)
    path.chmod(0o755)


def test_the_wrapper_provisions_and_passes_its_words_on(tree: Path, tmp_path: Path) -> None:
    provisioning(tree, "exit 0\n")
    done = subprocess.run(
        [tree / "scripts/local-swarm.sh", "ask", "a  b"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tree} -P -m scripts.swarm ask a  b\n"


def test_the_wrapper_ends_with_the_code_of_failed_provisioning(tree: Path) -> None:
    provisioning(tree, "exit 7\n")
    done = subprocess.run([tree / "scripts/local-swarm.sh", "demo"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (7, b"")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_provisioning_ends_all_of_it(tree: Path, number: signal.Signals) -> None:
    provisioning(tree, f"sleep 60 & echo $! > {tree}/pids.new; mv {tree}/pids.new {tree}/pids; wait\n")
    program = subprocess.Popen([tree / "scripts/local-swarm.sh", "demo"])
    until((tree / "pids").exists)
    process = ProcessId.of(int((tree / "pids").read_text()))
    assert process is not None
    program.send_signal(number)
    assert program.wait(timeout=DEADLINE_S) == 128 + number
    until(lambda: not process.alive)
