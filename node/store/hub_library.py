"""What huggingface_hub is asked: who asks, which commit a revision is, which files it has.

Everything here blocks and belongs on a thread. The library is imported when it is first needed: it takes a second. It
tells a hub which programs run beside it unless it is told not to, and asks it for a list of such programs; it is told
not to. Its errors become ours at this edge.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from node.store.hub_errors import (
    HubError,
    HubGated,
    HubNotFound,
    HubOffline,
    HubWrongAnswer,
    Refusal,
    refused,
)
from node.store.hub_name import HubName, is_commit
from node.store.shard_index import is_plain

LOOK_UP_TIMEOUT_S: Final = 10.0
"""How long a hub may say nothing while it is asked what it has."""
_MAX_FILES: Final = 10_000
"""Security limit: files of one repository; the largest models have a few hundred."""
_MAX_FILE_BYTES: Final = 1 << 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a hub is, and how to ask it."""

    endpoint: str
    """`https://hub.example`, without a slash at its end."""
    agent: str
    """What the program calls itself."""
    token: str | None = field(default=None, repr=False)
    """Who asks. For the endpoint's own host alone."""
    offline: bool = False
    """Whether this machine is told not to ask (`HF_HUB_OFFLINE`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a repository at one commit."""

    name: str
    size: int
    oid: str = ""
    """SHA-256 of its bytes where the hub stores it as a large file, the digest of its git blob where not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a repository holds at one commit, beside each other in its topmost folder."""

    commit: str
    files: Mapping[str, RemoteFile]


def access(token: str | None, endpoint: str | None) -> Access:
    """Find out how to ask: what was not given comes from the library's own places.

    Args:
        token: for a person's own or gated models; None for `HF_TOKEN` or the one of `hf auth login`, if there is one.
        endpoint: of the hub; None for `HF_ENDPOINT`, or the public one.

    Raises:
        HubError: either cannot be used.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import DeviceCodeError, OIDCError
    from huggingface_hub.utils import build_hf_headers

    # A constant of the library, made from a variable when somebody imported it; perhaps long before this line.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    place = (endpoint or os.environ.get("HF_ENDPOINT") or constants._HF_DEFAULT_ENDPOINT).rstrip("/")
    parts = urlsplit(place)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or not place.isascii()
        or "@" in parts.netloc
    ):
        raise HubNotFound(
            "the address of the hub cannot be used",
            "set HF_ENDPOINT to an address like https://hub.example",
            retry_after_s=None,
        )
    try:
        headers = build_hf_headers(token=token, library_name="lamella", library_version=version("lamella"))
    except (OIDCError, DeviceCodeError) as error:
        raise HubGated(
            "the login at the hub has expired", "run `hf auth login`", retry_after_s=None
        ) from error
    found = headers.get("authorization", "").removeprefix("Bearer ")
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise HubGated(
            "the hub's token is not one line of letters", "set HF_TOKEN to a valid one", retry_after_s=None
        )
    return Access(
        endpoint=place, agent=headers["user-agent"], token=found or None, offline=constants.is_offline_mode()
    )


def look_up(access: Access, name: HubName) -> Listing:
    """Return the commit of a revision and its files. Raises `HubError`."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # False: no token at all, rather than one from the library's places.
    api = HfApi(
        endpoint=access.endpoint,
        token=access.token or False,
        library_name="lamella",
        library_version=version("lamella"),
    )
    try:
        info = api.model_info(
            name.repo, revision=name.revision, timeout=LOOK_UP_TIMEOUT_S, files_metadata=True
        )
    except HfHubHTTPError as error:
        refusal = Refusal(status=error.response.status_code, headers=dict(error.response.headers))
        raise refused(refusal, name.revision, name.repo, had_token=access.token is not None) from error
    except OfflineModeIsEnabled as error:
        raise told_offline() from error
    except httpx2.TransportError as error:
        raise unreachable(access) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TypeError, KeyError, AttributeError) as error:
        # What is not JSON, or is JSON of another shape.
        raise _not_a_hub(access) from error
    if not is_commit(info.sha) or not isinstance(info.siblings, list):
        raise _not_a_hub(access)
    return Listing(commit=str(info.sha), files=_files(info.siblings))


def address(access: Access, repo: str, commit: str, file: str) -> str:
    """Return where a file can be asked for."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repo, file, revision=commit, endpoint=access.endpoint)


def unreachable(access: Access) -> HubError:
    """The hub does not answer."""
    return HubOffline(
        f"{urlsplit(access.endpoint).hostname} cannot be reached",
        "check this machine's connection and its proxy",
        retry_after_s=5.0,
    )


def told_offline() -> HubError:
    """This machine is not to ask."""
    return HubOffline("HF_HUB_OFFLINE forbids to ask the hub", "unset it", retry_after_s=None)


def _not_a_hub(access: Access) -> HubError:
    return HubWrongAnswer(
        f"{urlsplit(access.endpoint).hostname} does not answer as a hub does",
        "check HF_ENDPOINT, and that no login page stands between",
        retry_after_s=5.0,
    )


def _files(siblings: Sequence[object]) -> dict[str, RemoteFile]:
    """Those that a checkpoint can consist of: plainly named, of a known size, in no folder."""
    if len(siblings) > _MAX_FILES:
        raise HubWrongAnswer(
            f"the hub names {len(siblings)} files, more than a model has",
            "choose another model",
            retry_after_s=None,
        )
    files = {}
    for one in siblings:
        name, size, lfs = (getattr(one, field, None) for field in ("rfilename", "size", "lfs"))
        if isinstance(name, str) and is_plain(name) and type(size) is int and 0 <= size < _MAX_FILE_BYTES:
            oid = getattr(one, "blob_id", None) if lfs is None else getattr(lfs, "sha256", None)
            files[name] = RemoteFile(name=name, size=size, oid=oid if isinstance(oid, str) else "")
    return files
