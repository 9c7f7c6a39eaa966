from __future__ import annotations

from pathlib import Path

import pytest

from node.store.hub_cache import HubCache
from node.store.hub_library import Listing, RemoteFile
from node.store.hub_name import HubName

COMMIT = "0123456789" * 4
NAME = HubName(repo="org/name", revision="refs/pr/4")


@pytest.fixture
def cache(tmp_path: Path) -> HubCache:
    return HubCache(tmp_path, "https://hub.example:8", "org/name", clock=lambda: 1_763_700_000.0)


def test_what_is_kept_is_told_by_the_next_one(cache: HubCache, tmp_path: Path) -> None:
    listing = Listing(commit=COMMIT, files={"a": RemoteFile(name="a", size=7, oid="f" * 64)})
    cache.keep_listing(listing)
    cache.pin(NAME, COMMIT)
    cache.keep(COMMIT, "header", "a", b"text")
    again = HubCache(tmp_path, "https://hub.example:8", "org/name")
    assert again.listing(COMMIT) == listing
    pin = again.pinned(NAME)
    assert pin is not None
    assert (pin.commit, pin.date) == (COMMIT, "2025-11-21")
    assert again.kept(COMMIT, "header", "a", 4) == b"text"


def test_nothing_is_kept_of_what_was_never_told(cache: HubCache) -> None:
    assert cache.listing(COMMIT) is None
    assert cache.pinned(NAME) is None
    assert cache.kept(COMMIT, "header", "a", 100) is None


def test_hubs_models_commits_kinds_and_files_are_apart(cache: HubCache, tmp_path: Path) -> None:
    cache.keep(COMMIT, "header", "a", b"text")
    assert cache.kept(COMMIT, "header", "A", 100) is None
    assert cache.kept(COMMIT, "file", "a", 100) is None
    assert cache.kept("f" * 40, "header", "a", 100) is None
    for endpoint, repo in (("https://other.example", "org/name"), ("https://hub.example:8", "org/other")):
        assert HubCache(tmp_path, endpoint, repo).kept(COMMIT, "header", "a", 100) is None


def test_what_is_too_large_or_dropped_is_not_there(cache: HubCache) -> None:
    cache.keep(COMMIT, "header", "a", b"text")
    assert cache.kept(COMMIT, "header", "a", 3) is None
    cache.drop(COMMIT, "header", "a")
    cache.drop(COMMIT, "header", "a")
    assert cache.kept(COMMIT, "header", "a", 4) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b'{"commit": "main", "when": 1}',
        b'{"commit": "' + b"0" * 40 + b'", "when": 1e300}',
    ],
)
def test_a_damaged_entry_is_not_there(cache: HubCache, tmp_path: Path, damage: bytes) -> None:
    cache.pin(NAME, COMMIT)
    cache.keep_listing(Listing(commit=COMMIT, files={"a": RemoteFile(name="a", size=1)}))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(damage)
    assert cache.pinned(NAME) is None
    listing = cache.listing(COMMIT)
    assert listing is None or listing.files == {}


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("in the way")
    cache = HubCache(tmp_path, "https://hub.example", "org/name")
    cache.keep(COMMIT, "header", "a", b"text")
    assert cache.kept(COMMIT, "header", "a", 100) is None


def test_what_is_kept_is_for_this_user_alone(cache: HubCache, tmp_path: Path) -> None:
    cache.keep(COMMIT, "file", "../../escape", b"text")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].is_relative_to(tmp_path / "hub")
    for path in (files[0].parent, files[0]):
        assert path.stat().st_mode & 0o077 == 0
