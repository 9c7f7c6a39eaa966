"""What can go wrong between this machine and a hub, told to the person who waits for a model.

SourceFailed              its `retry_after_s` says whether it may pass by itself
└── HubError
    ├── HubOffline        nothing answers there, or this machine is told not to ask
    ├── HubBusy           it answers later: too many requests, its own error, an answer that broke off
    ├── HubWrongAnswer    what came is not what was asked for: a page, other bytes, another range
    ├── HubGated          it wants to know who asks, or does not let them
    ├── HubNotFound       it has no such model, revision or file
    └── HubChanged        it has other bytes under the commit than it had before

No message holds a token, or the address a file was redirected to, which is as good as one for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.store.source import SourceFailed

SOON_S: Final = 1.0
"""When to ask again what may pass by itself, at the earliest, where the hub names no time."""
MAX_RETRY_AFTER_S: Final = 300.0
"""Security limit: the longest that a hub can make anyone wait by its word alone; hubs count requests over 5 minutes."""
_MAX_WORDS: Final = 200


class HubError(SourceFailed):
    """A hub did not deliver."""


class HubOffline(HubError):
    """The hub cannot be reached."""


class HubBusy(HubError):
    """The hub cannot answer now."""


class HubWrongAnswer(HubError):
    """What the hub sent is not what was asked for."""


class HubGated(HubError):
    """The hub does not give this to whoever asks."""


class HubNotFound(HubError):
    """The hub does not have this."""


class HubChanged(HubError):
    """The hub has other bytes than it had before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that is an error."""

    status: int
    headers: Mapping[str, str]
    """Any spelling of their names."""
    from_hub: bool = True
    """False: by a host that the hub sent us on to, which knows nothing of names and tokens."""


def refused(refusal: Refusal, what: str, repo: str, *, had_token: bool) -> HubError:
    """Return what an answer with an error means.

    Args:
        what: that was asked for, in words.
        repo: `org/name`.
        had_token: whether the hub was told who asks.
    """
    status = refusal.status
    headers = {name.lower(): value for name, value in refusal.headers.items()}
    if status in (408, 429) or status >= 500:
        return HubBusy(
            f"the hub has no time for {what} now ({status})",
            "wait; it is asked again",
            retry_after_s=retry_after_s(headers),
        )
    if status == 416:
        return HubChanged(
            f"the hub's file is shorter than the hub said: {what}", "start again", retry_after_s=None
        )
    if not refusal.from_hub:
        # Addresses of storage hosts expire; the hub gives out a new one.
        return HubBusy(
            f"the hub's storage does not give out {what} ({status})",
            "wait; it is asked again",
            retry_after_s=SOON_S,
        )
    return _final(status, headers, what, repo, had_token=had_token)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return for how long a hub asks to be left alone, in seconds; headers are named in small letters."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return min(max(float(text), SOON_S), MAX_RETRY_AFTER_S)
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return min(max(float(limit.reset_in_seconds), SOON_S), MAX_RETRY_AFTER_S)
    return SOON_S


def plain(words: str) -> str:
    """Make a line for a person of what somebody else wrote."""
    return "".join(one if one.isprintable() else " " for one in words)[:_MAX_WORDS].strip()


def _final(status: int, headers: Mapping[str, str], what: str, repo: str, *, had_token: bool) -> HubError:
    """What an answer means that will be the same when it is asked again."""
    code = headers.get("x-error-code", "")
    said = plain(headers.get("x-error-message", ""))
    because = f" ({said})" if said else ""
    if code == "GatedRepo" or status == 403:
        return HubGated(
            f"the hub does not give {repo} to everyone{because}",
            "accept its terms on the hub's page of it, then set HF_TOKEN or run `hf auth login`",
            retry_after_s=None,
        )
    if code == "RevisionNotFound":
        return HubNotFound(
            f"{repo} has no such revision: {what}",
            "name a branch, a tag or a commit that it has",
            retry_after_s=None,
        )
    if code == "EntryNotFound":
        return HubNotFound(f"{repo} has no such file: {what}", "choose another model", retry_after_s=None)
    if status == 401 and had_token and code != "RepoNotFound":
        return HubGated(
            f"the hub does not accept the token it was given{because}",
            "set HF_TOKEN to a valid one, or run `hf auth login`",
            retry_after_s=None,
        )
    if status in (401, 404):
        return HubNotFound(
            f"the hub shows no model {repo}",
            "check the name; for a private model, set HF_TOKEN or run `hf auth login`",
            retry_after_s=None,
        )
    return HubWrongAnswer(
        f"the hub answered {status} when asked for {what}{because}", "check HF_ENDPOINT", retry_after_s=None
    )
