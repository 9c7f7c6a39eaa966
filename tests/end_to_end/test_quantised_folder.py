"""Hosts over a quantised folder and hosts that quantise while loading serve one model, and give its tokens."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from node.store import checkpoint
from tests.end_to_end.conftest import Hosts
from tests.fakes import asking, hosts, quantised_folder, whole
from tests.fakes.hosts import HostOptions, Program
from wire.tensors import WeightFormat
from wire.types import Sampling

pytestmark = pytest.mark.timeout(600)

POCKET = checkpoint.resolve(checkpoint.POCKET)
PROMPT = [3, 17, 40, 99, 120, 5, 64, 200, 31, 7, 12]


@pytest.mark.parametrize("weights", [WeightFormat.INT8, WeightFormat.INT4_32])
async def test_a_chain_over_the_folder_gives_the_tokens_of_the_whole_quantised_at_load(
    own_home: Path, run_hosts: Hosts, tmp_path: Path, weights: WeightFormat
) -> None:
    expected = whole.tokens(whole.load(POCKET, "bfloat16", weights), PROMPT, 24, Sampling())
    folder = quantised_folder.make("pocket", weights, tmp_path / "quantised")
    own = HostOptions(dtype=None, weights=None)
    at_load = HostOptions(dtype=None, weights=weights.value)
    with run_hosts(folder, ["1:9"], own) as first, run_hosts(POCKET, ["9:24"], at_load) as second:
        ready = [host.wait_for("ready")["slices"][0] for host in (*first, *second)]
        assert ready[0]["model"] == ready[1]["model"]
        assert [one["weights"] for one in ready] == [weights.value] * 2
        contacts = [host.contact for host in (*first, *second)]
        for model, asked in ((folder, None), (folder, weights), (POCKET, weights)):
            async with asking.client(
                model, contacts, tmp_path / "identity", dtype=None, weights=asked
            ) as client:
                assert await asking.tokens(client.session, PROMPT, 24) == expected


def test_a_host_refuses_other_weights_than_the_folders(own_home: Path, tmp_path: Path) -> None:
    folder = quantised_folder.make("pocket", WeightFormat.INT8, tmp_path / "quantised")
    host = hosts.start(tmp_path / "identity", folder, "1:3", HostOptions(dtype=None, weights="native"))
    try:
        assert "holds int8 weights, not native; leave the weights out" in host.wait_for("error")["message"]
        assert host.wait() == 1
    finally:
        host.end()


def quantise(*words: str) -> Program:
    return Program(hosts._node, ["lamella-node", "quantise", "--json", "--threads", "1", *words])


def test_the_command_makes_a_folder_and_says_so(own_home: Path, tmp_path: Path) -> None:
    program = quantise(
        "--model", "pocket", "--weights", "int4-64", "--out", str(tmp_path / "q"), "--tokens", "8"
    )
    try:
        assert program.wait(300) == 0, program.stderr
    finally:
        program.end()
    lines = []
    while (line := program.lines.get(timeout=10)) is not None:
        lines.append(json.loads(line))
    assert lines[-1]["event"] == "quantised"
    assert lines[-1]["measured"]["tokens"] == 7
    assert (tmp_path / "q" / "lamella.json").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_130_and_leaves_nothing_behind(
    own_home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    program = quantise(
        "--model", "pocket", "--weights", "int8", "--out", str(tmp_path / "q"), "--tokens", "1700"
    )
    try:
        assert program.lines.get(timeout=120)
        program.send_signal(number)
        assert program.wait(120) == 130
        assert json.loads(str(program.lines.get(timeout=10))) == {"event": "stopped"}
    finally:
        program.end()
    assert list(tmp_path.iterdir()) == []
