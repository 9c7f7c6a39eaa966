"""A hub on the loopback, as huggingface_hub expects one: names, revisions, parts of files, redirects to storage.

It runs on a thread of its own, so that a test may block, and on real ports, so that another process may ask it. Large
files are served by a second server after a redirect, as the real one does, unless `redirects` is off. Faults are
functions that spoil one answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

LARGE_SUFFIX: Final = ".safetensors"
_SIGNATURE: Final = "X-Sig=a%2Fb%2Bc%3D"
"""With characters that must arrive as they are."""
_PIECE_BYTES: Final = 1 << 18
_PACED_BYTES: Final = 1 << 12


@dataclass
class Answer:
    """What is about to be sent."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    length: int | None = None
    """Of the body, as the head has it; None for the truth."""
    then: str = "end"
    """After the body: `end`, `cut` the connection, or `stall`."""


Fault = Callable[[Answer], Answer]


@dataclass
class Seen:
    """A request."""

    server: str
    """`hub` or `storage`."""
    method: str
    path: str
    range: str | None
    authorization: str | None
    sent: int = 0
    """Bytes of a body."""


@dataclass
class Repo:
    """A repository: folders by commit, commits by revision."""

    commits: dict[str, Path] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    gated: bool = False


class StandInHub:
    """Serves folders as repositories for as long as the block runs."""

    def __init__(self, *, redirects: bool = True) -> None:
        self.redirects = redirects
        self.repos: dict[str, Repo] = {}
        self.members: set[str] = set()
        """Tokens that gated repositories are open to."""
        self.strangers: set[str] = set()
        """Tokens that are known, and let into nothing."""
        self.bytes_per_s: float | None = None
        """Of each answer of the storage; None for as fast as it goes."""
        self.seen: list[Seen] = []
        self.url = ""
        self.storage_url = ""
        self._faults: list[tuple[str, str, Fault]] = []
        self._blobs: dict[str, Path] = {}
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="stand-in hub")

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(20):
            raise TimeoutError("the stand-in hub did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering: connections are refused from here on."""
        if self._loop is not None and self._stopped is not None and self._thread.is_alive():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(20)

    def publish(self, repo: str, folder: Path, revision: str = "main") -> str:
        """Serve a folder as a new commit of a repository, and return the commit."""
        one = self.repos.setdefault(repo, Repo())
        commit = hashlib.sha1(f"{repo} {folder} {len(one.commits)}".encode()).hexdigest()
        one.commits[commit] = folder
        one.revisions[revision] = commit
        return commit

    def fault(self, match: str, fault: Fault, *, server: str = "hub", times: int = 1) -> None:
        """Spoil the next `times` answers of a server to requests whose path contains `match`."""
        self._faults += [(server, match, fault)] * times

    def asked(self, match: str = "", server: str | None = None) -> list[Seen]:
        """The requests so far whose path contains `match`."""
        return [one for one in self.seen if match in one.path and server in (None, one.server)]

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        hub, storage = web.Application(), web.Application()
        hub.router.add_get("/api/models/{org}/{name}", self._info)
        hub.router.add_get("/api/models/{org}/{name}/revision/{revision}", self._info)
        hub.router.add_get("/api/models/{org}/{name}/tree/{revision}", self._tree)
        hub.router.add_post("/api/models/{org}/{name}/paths-info/{revision}", self._tree)
        hub.router.add_get("/{org}/{name}/resolve/{revision}/{file}", self._resolve)
        hub.router.add_get("/{tail:.*}", self._unknown)
        storage.router.add_get("/blobs/{digest}", self._blob)
        runners = []
        for application in (hub, storage):
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            runners.append(runner)
        self.url, self.storage_url = (f"http://127.0.0.1:{one.addresses[0][1]}" for one in runners)
        self._ready.set()
        await self._stopped.wait()
        for runner in runners:
            await runner.cleanup()

    def _checkout(self, request: web.Request) -> tuple[str, Path] | Answer:
        """The commit and folder that a request is about, or why not."""
        repo = self.repos.get(f"{request.match_info['org']}/{request.match_info['name']}")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.members | self.strangers:
            return _error(401, "", "Invalid credentials in Authorization header")
        if repo is None:
            return _error(404 if token else 401, "RepoNotFound", "Repository not found")
        # As the real one: the page of a gated model is public, its files are not.
        if repo.gated and token not in self.members and "/resolve/" in request.path:
            return _error(403 if token else 401, "GatedRepo", "Access to this model is restricted.")
        revision = request.match_info.get("revision", "main")
        commit = repo.revisions.get(revision, revision)
        if commit not in repo.commits:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, repo.commits[commit]

    async def _info(self, request: web.Request) -> web.StreamResponse:
        found = self._checkout(request)
        if isinstance(found, Answer):
            return await self._send(request, found)
        commit, folder = found
        repo = f"{request.match_info['org']}/{request.match_info['name']}"
        siblings = [
            {
                "rfilename": path.name,
                "size": path.stat().st_size,
                "blobId": _git_oid(path),
                **_lfs(path, "sha256"),
            }
            for path in sorted(folder.iterdir())
            if path.is_file()
        ]
        if "blobs" not in request.query:
            siblings = [{"rfilename": one["rfilename"]} for one in siblings]
        body = {"id": repo, "sha": commit, "private": False, "gated": False, "tags": [], "siblings": siblings}
        return await self._send(request, _json(body))

    async def _tree(self, request: web.Request) -> web.StreamResponse:
        found = self._checkout(request)
        if isinstance(found, Answer):
            return await self._send(request, found)
        rows = [
            {
                "type": "file",
                "path": path.name,
                "size": path.stat().st_size,
                "oid": _git_oid(path),
                **_lfs(path, "oid"),
            }
            for path in sorted(found[1].iterdir())
            if path.is_file()
        ]
        return await self._send(request, _json(rows))

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        found = self._checkout(request)
        if isinstance(found, Answer):
            return await self._send(request, found)
        commit, path = found[0], found[1] / request.match_info["file"]
        if not path.is_file():
            return await self._send(request, _error(404, "EntryNotFound", "Entry not found"))
        large = path.name.endswith(LARGE_SUFFIX)
        oid = _sha256(path) if large else _git_oid(path)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{oid}"', "Accept-Ranges": "bytes"}
        if not (large and self.redirects):
            return await self._send(request, _part(request, path, headers))
        self._blobs[oid] = path
        headers |= {
            "Location": f"{self.storage_url}/blobs/{oid}?{_SIGNATURE}",
            "X-Linked-Etag": f'"{oid}"',
            "X-Linked-Size": str(path.stat().st_size),
            "ETag": '"of-the-redirect"',
        }
        return await self._send(request, Answer(302, headers, b"Found. Redirecting."))

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        if request.rel_url.raw_query_string != _SIGNATURE:
            return await self._send(
                request, Answer(403, {"Content-Type": "application/xml"}, b"<Error/>"), "storage"
            )
        path = self._blobs[request.match_info["digest"]]
        return await self._send(request, _part(request, path, {"ETag": '"of-the-storage"'}), "storage")

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, Answer(404, {"Content-Type": "text/html"}, b"<html>404</html>"))

    async def _send(self, request: web.Request, answer: Answer, server: str = "hub") -> web.StreamResponse:
        seen = Seen(
            server,
            request.method,
            str(request.rel_url),
            request.headers.get("Range"),
            request.headers.get("Authorization"),
        )
        self.seen.append(seen)
        for entry in self._faults:
            if entry[0] == server and entry[1] in seen.path:
                self._faults.remove(entry)
                answer = entry[2](answer)
                break
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body) if answer.length is None else answer.length
        await response.prepare(request)
        if request.method != "HEAD":
            with suppress(ConnectionError):
                pace = self.bytes_per_s if server == "storage" else None
                size = _PIECE_BYTES if pace is None else _PACED_BYTES
                for at in range(0, len(answer.body), size):
                    piece = answer.body[at : at + size]
                    # Before: whoever has read it may look at the count at once.
                    seen.sent += len(piece)
                    await response.write(piece)
                    if pace is not None:
                        await asyncio.sleep(len(piece) / pace)
        if answer.then == "stall" and self._stopped is not None:
            await self._stopped.wait()
        if answer.then != "end" and request.transport is not None:
            request.transport.close()
        return response


def refuse(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Answer with an error; underscores in the names of headers stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Answer(status, {"Content-Type": "text/plain", **named}, body)


def cut(after: int) -> Fault:
    """Close the connection after so many bytes of the body."""
    return lambda answer: _shortened(answer, after, "cut")


def stall(after: int) -> Fault:
    """Send so many bytes of the body and then nothing, for ever."""
    return lambda answer: _shortened(answer, after, "stall")


def headed(**headers: str) -> Fault:
    """Send other headers; underscores in their names stand for dashes."""
    return lambda answer: Answer(
        answer.status,
        {**answer.headers, **{name.replace("_", "-"): one for name, one in headers.items()}},
        answer.body,
    )


def flip(at: int) -> Fault:
    """Turn one bit of the body."""
    return lambda answer: Answer(
        answer.status, answer.headers, answer.body[:at] + bytes([answer.body[at] ^ 1]) + answer.body[at + 1 :]
    )


def page(answer: Answer) -> Answer:
    """Send what a login page in between sends."""
    return Answer(
        200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in</html>" + bytes(len(answer.body))
    )


def resized(by: int) -> Fault:
    """Send a body that is shorter or longer than what was asked for, and say so."""
    return lambda answer: Answer(
        answer.status, answer.headers, (answer.body + bytes(max(by, 0)))[: len(answer.body) + by]
    )


def _shortened(answer: Answer, after: int, then: str) -> Answer:
    return Answer(answer.status, answer.headers, answer.body[:after], len(answer.body), then)


def _error(status: int, code: str, message: str) -> Answer:
    headers = {"X-Error-Code": code, "X-Error-Message": message, "ETag": 'W/"of-the-error"'}
    return Answer(status, {**headers, "Content-Type": "text/plain"}, message.encode())


def _json(value: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _part(request: web.Request, path: Path, headers: dict[str, str]) -> Answer:
    """The part of a file that a request asks for, or all of it."""
    total = path.stat().st_size
    headers = {**headers, "Content-Type": "application/octet-stream"}
    if "Range" not in request.headers:
        return Answer(200, headers, b"" if request.method == "HEAD" else path.read_bytes(), total)
    start, stop = request.http_range.start or 0, min(request.http_range.stop or total, total)
    if start >= total:
        return Answer(416, {**headers, "Content-Range": f"bytes */{total}"})
    with path.open("rb") as file:
        file.seek(start)
        body = file.read(stop - start)
    return Answer(206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{total}"}, body)


def _lfs(path: Path, key: str) -> dict[str, Any]:
    if not path.name.endswith(LARGE_SUFFIX):
        return {}
    return {"lfs": {key: _sha256(path), "size": path.stat().st_size, "pointerSize": 134}}


def _sha256(path: Path) -> str:
    return _digests(path, path.stat().st_mtime_ns, path.stat().st_size)[0]


def _git_oid(path: Path) -> str:
    return _digests(path, path.stat().st_mtime_ns, path.stat().st_size)[1]


@cache
def _digests(path: Path, _when: int, _size: int) -> tuple[str, str]:
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
