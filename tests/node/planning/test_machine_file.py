"""The file of machines: what it says is taken to the letter, and what it does not mean is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.planning import machines
from node.planning.errors import BadMachineFile
from node.planning.example import EXAMPLE
from node.planning.machine_file import MAX_BYTES, parse, read, size
from node.planning.machines import GIB, Fleet

FILE = Path("swarm.toml")
ONE = '[[machine]]\nname = "desk"\nmemory = "8G"\n'


def fleet(text: str) -> Fleet:
    return parse(text, FILE)


def test_the_example_of_the_help_is_a_fleet() -> None:
    found = fleet(EXAMPLE)
    desk, attic = found.hosts
    assert (found.client.name, found.client.memory, found.assumed_client) == ("laptop", 4 * GIB, False)
    assert (desk.bandwidth, desk.uplink) == (20, machines.DEFAULT_RATE)
    assert (attic.bandwidth, attic.uplink, attic.downlink) == (machines.DEFAULT_BANDWIDTH, 20, 100)
    assert found.link(desk, attic).latency_ms == 0.5
    assert found.link(attic, desk).rate == 1_000
    assert found.link(found.client, desk).latency_ms == 2


def test_without_a_client_one_is_assumed() -> None:
    found = fleet(ONE)
    assert found.assumed_client
    assert found.client.memory == machines.ASSUMED_MEMORY
    assert [one.name for one in found.hosts] == ["desk"]
    assert fleet(ONE.replace("desk", "client")).client.name == "client'"


def test_a_gpu_is_faster_unless_the_file_says_how_fast() -> None:
    assert fleet(ONE + 'device = "cuda:1"\n').hosts[0].bandwidth == machines.DEFAULT_GPU_BANDWIDTH
    assert fleet(ONE + 'device = "cuda"\nmemory_bandwidth = 900').hosts[0].bandwidth == 900


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"swarm\.toml: there is no \[\[machine\]\]"),
        ("[[machine]]\nname =", r"is not TOML.*end of document"),
        ("latency_ms = " + "9" * 5_000, r"is not TOML"),
        ("latency_ms = " + "9" * 400 + "\n" + ONE, r"line 1: latency_ms is .999"),
        ("latencyms = 1\n" + ONE, r"line 1: there is no key 'latencyms'; did you mean 'latency_ms'\?"),
        (
            ONE + "memmory = 1\n",
            r'line 4: machine 1 \("desk"\): there is no key .* did you mean \'memory\'\?',
        ),
        (ONE + "zzz = 1\n", r"known are name, memory, memory_bandwidth"),
        ('[[machine]]\nmemory = "1G"', r"line 1: machine 1: there is no name; add one"),
        ('[[machine]]\nname = "a"', r"there is no memory; add one, as in memory = "),
        ('[[machine]]\nname = ""\nmemory = "1G"', r"line 2: .*a name of 1 to 40"),
        ('[[machine]]\nname = "a\\nb"\nmemory = "1G"', r"a name of 1 to 40"),
        ('[[machine]]\nname = "a"\nmemory = 8', r"line 3: .*memory is '8'; write a size from 1M"),
        (ONE + ONE, r"line 5: .*another machine has this name"),
        (ONE + "client = 1", r"client is '1'; write true or false"),
        (ONE + "uplink = 0", r"line 4: .*uplink is '0'; write a number of Mbit/s from 0.01"),
        (ONE + "memory_bandwidth = nan", r"a number of GB/s from 0.1"),
        (ONE + "memory_bandwidth = true", r"a number of GB/s"),
        (ONE + 'device = "tpu"', r"cpu, cuda, or cuda:0"),
        ("latency_ms = -1\n" + ONE, r"line 1: latency_ms is '-1'"),
        ("machine = 7", r"machine is not a list of tables"),
        ("[machine]\nname = 'a'", r"machine is not a list of tables"),
        (ONE + "[[link]]\nlatency_ms = 1", r"line 4: link 1: there is no between"),
        (ONE + '[[link]]\nbetween = ["desk", "dusk"]', r"line 5: .*no machine 'dusk'; did you mean 'desk'"),
        (ONE + '[[link]]\nbetween = ["desk", "desk"]', r"the names of two machines"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(BadMachineFile, match=complaint):
        fleet(text)


def test_there_is_one_client_and_one_link_between_two() -> None:
    two = 'client = true\n[[machine]]\nname = "b"\nmemory = "1G"\n'
    with pytest.raises(BadMachineFile, match=r"line 8: .*another machine is the client already"):
        fleet(ONE + two + "client = true")
    link = '[[link]]\nbetween = ["desk", "b"]\n'
    with pytest.raises(BadMachineFile, match=r"b and desk have a link already"):
        fleet(ONE + two + link + link)


def test_there_are_at_most_so_many_machines() -> None:
    text = "".join(f'[[machine]]\nname = "m{number}"\nmemory = "1G"\n' for number in range(65))
    with pytest.raises(BadMachineFile, match="there are 65 machines; describe at most 64"):
        fleet(text)


def test_a_file_that_is_no_file_of_machines_is_named(tmp_path: Path) -> None:
    path = tmp_path / "swarm.toml"
    with pytest.raises(BadMachineFile, match=r"cannot be read \(No such file"):
        read(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(BadMachineFile, match="is larger than"):
        read(path)
    path.write_bytes(b"\xff")
    with pytest.raises(BadMachineFile, match="is not UTF-8"):
        read(path)
    path.write_text(ONE)
    assert len(read(path).hosts) == 1


def test_sizes_are_read_as_people_write_them() -> None:
    sizes = [size(text) for text in ("512M", "8G", "1.5g", "2 GiB", "8GB")]
    assert sizes == [512 << 20, 8 << 30, 3 << 29, 2 << 30, 8 << 30]


@given(st.text(max_size=20))
def test_any_text_is_a_size_in_bounds_or_refused(text: str) -> None:
    try:
        found = size(text)
    except ValueError:
        return
    assert 1 << 20 <= found <= 1 << 50


@given(st.text(max_size=200))
def test_any_text_is_a_fleet_or_refused(text: str) -> None:
    with pytest.raises(BadMachineFile):
        fleet(text + "\n[[[")
