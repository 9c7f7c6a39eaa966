"""What a person types to name a model on a hub: `hf:org/name`, with `@revision` or without.

The rules are huggingface_hub's for names of repositories and git's for revisions, narrowed to what cannot be taken for
anything else in an address or a path. They stand here because that library takes a tenth of a second to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from node.store.errors import UnknownModel

PREFIX: Final = "hf:"
MAIN: Final = "main"
"""The revision that is meant when none is named."""
_PART: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_REVISION_PART: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+-]*[A-Za-z0-9_+-])?")
_MAX_REVISION_CHARS: Final = 200
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class BadHubName(UnknownModel):
    """What was given cannot name a model on a hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """A repository of a hub, and which state of it."""

    repo: str
    """`org/name`."""
    revision: str = MAIN
    """A branch, a tag, `refs/pr/4`, or a commit."""

    def __post_init__(self) -> None:
        """Refuse what no hub can have. Raises `BadHubName`."""
        if not _is_repo(self.repo):
            raise BadHubName(
                f"{self.repo[:100]!r} is not the name of a model on a hub",
                "give it as hf:org/name or hf:org/name@revision",
            )
        if not _is_revision(self.revision):
            raise BadHubName(
                f"{self.revision[:100]!r} cannot be a revision of {self.repo}",
                "name a branch, a tag or a commit after the @",
            )

    def __str__(self) -> str:
        at = "" if self.revision == MAIN else f"@{self.revision}"
        return f"{PREFIX}{self.repo}{at}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `hf:org/name[@revision]`. Raises `BadHubName`."""
        if not text.startswith(PREFIX):
            raise BadHubName(
                f"{text[:100]!r} does not begin with {PREFIX}",
                "give it as hf:org/name or hf:org/name@revision",
            )
        repo, at, revision = text.removeprefix(PREFIX).partition("@")
        return cls(repo=repo, revision=revision if at else MAIN)


def is_commit(text: object) -> bool:
    """Whether this is a whole commit id, which names the same bytes for ever."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def _is_repo(repo: str) -> bool:
    parts = repo.split("/")
    return (
        len(parts) == 2
        and all(_PART.fullmatch(part) for part in parts)
        and "--" not in repo
        and ".." not in repo
        and not repo.endswith(".git")
    )


def _is_revision(revision: str) -> bool:
    return (
        len(revision) <= _MAX_REVISION_CHARS
        and all(_REVISION_PART.fullmatch(part) and not part.endswith(".lock") for part in revision.split("/"))
        and ".." not in revision
    )
