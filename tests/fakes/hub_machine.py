"""A machine on which nobody has ever used a hub, whoever's it is, and models that are opened on it without waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from huggingface_hub import constants

from node.store.hub import HubRepo
from node.store.hub_headers import RemoteTensor
from node.store.hub_name import HubName
from node.store.patience import Patience
from node.store.safetensors_header import read_header

NAME = HubName(repo="org/name")

_VARIABLES = (
    "HF_ENDPOINT", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "http_proxy", "https_proxy", "all_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "no_proxy", "NO_PROXY",
)  # fmt: skip


def fresh_machine(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Hide this machine's logins, endpoint and proxies from huggingface_hub, which read some of it when imported."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(home / "agents.json"))


async def no_nap(_seconds: float) -> None:
    """Sleep for no time at all."""
    await asyncio.sleep(0)


SOON = Patience(attempts=3, sleep=no_nap)


async def opened(folder: Path, name: HubName = NAME, token: str | None = None) -> HubRepo:
    """Open a model of the hub that the environment names, with its cache in `folder`."""
    return await HubRepo.open(name, cache_dir=folder / "cache", token=token, patience=SOON)


def on_disk(folder: Path) -> dict[str, RemoteTensor]:
    """The layout as the files have it."""
    return {
        one.name: RemoteTensor(
            file=path.name, start=one.start, size=one.size, dtype=one.dtype, shape=one.shape
        )
        for path in sorted(folder.glob("*.safetensors"))
        for one in read_header(path)
    }
