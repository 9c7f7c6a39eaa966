"""A model on a hub: pinned to one commit when it is opened, and from then on the same bytes or an error.

Knows its small files, and where in its files each tensor lies; the tensors' bytes are `hub_source`'s and
`hub_stream`'s. What it was told once is kept on disk by commit (`hub_cache`), so that a start without a connection goes
on with what is there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from node.store import hub_library
from node.store.checkpoint import LICENCES
from node.store.errors import BadCheckpoint
from node.store.hub_cache import HubCache, Pin
from node.store.hub_errors import SOON_S, HubBusy, HubError, HubOffline, HubWrongAnswer
from node.store.hub_headers import HubHeaders, RemoteTensor, all_of
from node.store.hub_http import HubHttp, Stretch
from node.store.hub_library import Access, Listing, RemoteFile
from node.store.hub_name import HubName, is_commit
from node.store.pace import Flow
from node.store.patience import Patience, patiently
from wire import limits
from wire.manifest import SMALL_FILES

LOOK_UP_S: Final = 30.0
"""Security limit: the longest that a hub may take to say what it has."""
_AT_ONCE: Final = 4
"""Small requests under way at once."""
_MAX_LICENCES: Final = 16


class HubRepo:
    """One repository at one commit."""

    def __init__(
        self, name: HubName, listing: Listing, http: HubHttp, cache: HubCache, patience: Patience
    ) -> None:
        """Made by `open`."""
        self.name = name
        self.commit = listing.commit
        """40 hexadecimal digits: what the revision was when it was opened."""
        self.files: Mapping[str, RemoteFile] = listing.files
        """Beside each other in the topmost folder; those in others are not part of a checkpoint."""
        self.notice: str | None = None
        """What a person should know of how it was opened."""
        self.http = http
        self.patience = patience
        self._cache = cache
        self._few = asyncio.Semaphore(_AT_ONCE)
        self.headers = HubHeaders(self, cache)
        """What stands before the tensors of each file."""

    @classmethod
    async def open(
        cls,
        name: HubName,
        *,
        cache_dir: Path,
        token: str | None = None,
        endpoint: str | None = None,
        flow: Flow | None = None,
        patience: Patience | None = None,
    ) -> Self:
        """Find a model and pin it.

        Args:
            cache_dir: where what the hub says is kept; shared by all models.
            token: for private and gated models; None for that of huggingface_hub (`HF_TOKEN`, `hf auth login`).
            endpoint: of the hub; None for `HF_ENDPOINT`, or the public one.
            flow: what everything from the hub goes through, but for this look-up.
            patience: how long to ask again.

        Returns: The model, which is to be closed, and whose `notice` tells when it is not as fresh as it was asked for.

        Raises:
            HubError: it is not there, not for this person, or the hub cannot be reached and nothing of it is kept.
        """
        patience = patience or Patience()
        access = await asyncio.to_thread(hub_library.access, token, endpoint)
        cache = HubCache(cache_dir, access.endpoint, name.repo)
        listing, notice = await _pin(access, name, cache, patience)
        repo = cls(name, listing, HubHttp(access, flow), cache, patience)
        repo.notice = notice
        return repo

    @classmethod
    async def kept(cls, name: HubName, *, cache_dir: Path) -> Self:
        """Take a model as it was the last time, and ask nobody, neither now nor later.

        Args:
            cache_dir: as it was given to `open`.

        Raises:
            HubOffline: nothing was kept of it.
        """
        access = replace(await asyncio.to_thread(hub_library.access, None, None), offline=True)
        cache = HubCache(cache_dir, access.endpoint, name.repo)
        listing, pin = await asyncio.to_thread(_known, name, cache)
        if listing is None:
            raise HubOffline(
                f"this machine is told not to ask the hub, and nothing is kept here of {name}",
                "start once without --offline",
                retry_after_s=None,
            )
        repo = cls(name, listing, HubHttp(access), cache, Patience())
        if pin is not None and not is_commit(name.revision):
            repo.notice = f"offline, using commit {pin.commit[:12]} of {name} fetched on {pin.date}"
        return repo

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.http.close()

    async def small_files(self) -> dict[str, bytes]:
        """Return the files beside the weights, and the licences. Raises `BadCheckpoint`, `HubError`."""
        licences = sorted(name for name in self.files if name.startswith(LICENCES))[:_MAX_LICENCES]
        names = [name for name in (*SMALL_FILES, *licences) if name in self.files]
        found = await all_of([self.whole(name, limits.MAX_SMALL_FILE_BYTES) for name in names])
        return dict(zip(names, found, strict=True))

    async def layout(self, wanted: Collection[str] | None = None) -> Mapping[str, RemoteTensor]:
        """Return where the tensors lie, in the order of files and of bytes in them.

        Args:
            wanted: names of tensors; only the headers of the files that hold them are read. None for all files.

        Returns: At least those wanted.

        Raises:
            BadCheckpoint: it has no safetensors, or its index or a header cannot be true.
            HubError: the hub does not deliver them.
        """
        return await self.headers.layout(wanted)

    async def whole(self, file: str, most: int) -> bytes:
        """Return all of a file that should have at most so many bytes. Raises `BadCheckpoint`, `HubError`."""
        remote = self.files[file]
        if remote.size > most:
            raise BadCheckpoint(f"{file} of {self.name} is larger than {most} bytes", "choose another model")
        kept = await asyncio.to_thread(self._cache.kept, self.commit, "file", file, most)
        if (
            kept is not None
            and len(kept) == remote.size
            and await asyncio.to_thread(_is_named, remote.oid, kept)
        ):
            return kept
        data = await patiently(lambda: self._whole(remote), self.patience)
        await asyncio.to_thread(self._cache.keep, self.commit, "file", file, data)
        return data

    async def part(self, file: str, start: int, stop: int) -> bytes:
        """Return bytes of a file, asking again as long as `patience` has it. Raises `HubError`."""
        stretch = self.stretch(file, start, stop)
        async with self._few:
            return await patiently(lambda: self.http.read(stretch), self.patience)

    def stretch(self, file: str, start: int, stop: int) -> Stretch:
        """Name bytes of a file at this commit."""
        return Stretch(repo=self.name.repo, commit=self.commit, file=self.files[file], start=start, stop=stop)

    async def _whole(self, remote: RemoteFile) -> bytes:
        async with self._few:
            data = await self.http.read(self.stretch(remote.name, 0, remote.size))
        if not await asyncio.to_thread(_is_named, remote.oid, data):
            raise HubWrongAnswer(
                f"{remote.name} of {self.name} came with wrong bytes",
                "wait; it is asked again",
                retry_after_s=SOON_S,
            )
        return data


async def _pin(
    access: Access, name: HubName, cache: HubCache, patience: Patience
) -> tuple[Listing, str | None]:
    """The commit of a revision, from the hub or, when it does not answer, as it was the last time; and a notice."""
    kept, pin = await asyncio.to_thread(_known, name, cache)
    if kept is not None and is_commit(name.revision):
        return kept, None

    async def ask() -> Listing:
        try:
            async with asyncio.timeout(LOOK_UP_S):
                return await asyncio.to_thread(hub_library.look_up, access, name)
        except TimeoutError as error:
            raise HubBusy(
                f"the hub does not say what {name} is", "try again later", retry_after_s=SOON_S
            ) from error

    try:
        # Somebody who can start with what is there does not wait for a hub that is away.
        listing = await (ask() if kept is not None else patiently(ask, patience))
    except HubError as error:
        may_pass = error.retry_after_s is not None or isinstance(error, HubOffline)
        if kept is None or pin is None or not may_pass:
            raise
        return (
            kept,
            f"offline, using commit {pin.commit[:12]} of {name} fetched on {pin.date} ({error.cause})",
        )
    if is_commit(name.revision) and listing.commit != name.revision:
        raise HubWrongAnswer(
            f"the hub answered for another commit than {name}", "check HF_ENDPOINT", retry_after_s=None
        )
    await asyncio.to_thread(cache.keep_listing, listing)
    await asyncio.to_thread(cache.pin, name, listing.commit)
    return listing, None


def _known(name: HubName, cache: HubCache) -> tuple[Listing | None, Pin | None]:
    """What is kept of a revision, and since when it is known which commit it is. Reads the disk."""
    pin = cache.pinned(name)
    commit = name.revision if is_commit(name.revision) else pin.commit if pin is not None else None
    return (None if commit is None else cache.listing(commit)), pin


def _is_named(oid: str, data: bytes) -> bool:
    """Whether bytes are those that the hub listed; true where it listed none."""
    if len(oid) == 2 * limits.DIGEST_BYTES:
        return hashlib.sha256(data).hexdigest() == oid
    if is_commit(oid):
        # git's own name of a file's bytes: no security, but a hub's copies and proxies can be told apart by it.
        head = b"blob %d\0" % len(data)
        return hashlib.sha1(head + data, usedforsecurity=False).hexdigest() == oid
    return True
