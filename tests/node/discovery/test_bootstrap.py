"""Bootstrap lists on disk: used while they hold, and otherwise refused in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crypto.identity import Identity
from node.discovery.bootstrap import AHEAD_S, PACKAGED, PINNED_KEY, bootstrap_key, read_bootstrap
from node.discovery.errors import BootstrapExpired, BootstrapRefused, OtherNetwork
from wire.bootstrap_list import BootstrapList
from wire.cbor import canonical
from wire.contacts import Contact

SIGNER = Identity.from_seed(b"s" * 32)
LISTED = BootstrapList(
    network="main", issued=1_000_000, expires=2_000_000, contacts=(Contact.parse("8.8.8.8:7311"),)
)


def read(path: Path, now: float = 1_500_000, network: str = "main") -> BootstrapList:
    return read_bootstrap(path, network=network, now=now, key=SIGNER.public_key)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "list"
    path.write_bytes(LISTED.sign(SIGNER))
    return path


def test_a_list_that_holds_is_used_until_its_last_second(path: Path) -> None:
    assert read(path) == LISTED
    assert read(path, now=1_999_999) == LISTED
    with pytest.raises(BootstrapExpired, match=r"expired on 1970-01-24; get a newer one, or set .* clock"):
        read(path, now=2_000_000)


def test_a_clock_that_is_behind_is_named(path: Path) -> None:
    assert read(path, now=1_000_000 - AHEAD_S) == LISTED
    with pytest.raises(
        BootstrapRefused, match="issued on 1970-01-12, and this machine's clock says 1970-01-01"
    ):
        read(path, now=10)
    with pytest.raises(BootstrapRefused, match="clock"):
        read(path, now=-1e30)


def test_another_network_is_named(path: Path) -> None:
    with pytest.raises(OtherNetwork, match="for network 'main', you are in 'ours'"):
        read(path, network="ours")


def test_only_the_key_that_was_named_is_believed(path: Path) -> None:
    with pytest.raises(BootstrapRefused, match="--bootstrap-key"):
        read_bootstrap(path, network="main", now=1_500_000)
    other = Identity.from_seed(b"o" * 32)
    path.write_bytes(LISTED.sign(other))
    with pytest.raises(BootstrapRefused, match="not signed by the key"):
        read(path)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no bootstrap list"),
        (b"\xff" * 100_000, "is no bootstrap list"),
        (canonical([2, 0]), "update Lamella"),
        (LISTED.sign(SIGNER)[:-1], "is no bootstrap list"),
    ],
)
def test_what_is_no_list_is_named_with_the_next_step(path: Path, data: bytes, said: str) -> None:
    path.write_bytes(data)
    with pytest.raises(BootstrapRefused, match=said):
        read(path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(BootstrapRefused, match="cannot be read"):
        read(tmp_path / "none")
    with pytest.raises(BootstrapRefused, match="cannot be read"):
        read(tmp_path)


def test_the_pinned_key_is_one_and_what_the_source_tree_packages_is_nothing() -> None:
    assert bootstrap_key(PINNED_KEY.hex()) == PINNED_KEY
    assert not PACKAGED.exists()


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33, " " + "00" * 32, "00 " * 32])
def test_what_is_no_key_is_named(text: str) -> None:
    with pytest.raises(BootstrapRefused, match="64 hexadecimal"):
        bootstrap_key(text)


def test_an_empty_list_is_a_list(path: Path) -> None:
    empty = replace(LISTED, contacts=())
    path.write_bytes(empty.sign(SIGNER))
    assert read(path).contacts == ()
