"""What every end-to-end test needs: a tiny model with a tokenizer, real hosts, and the answer that must come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

import pytest

from node.store.checkpoint import build_manifest
from tests.fakes import chat_folder, hosts, whole
from tests.fakes.forgetting import forget_contacts
from tests.fakes.hosts import Host, HostOptions
from wire.contacts import Contact
from wire.manifest import Manifest
from wire.types import Sampling

Swarm = Callable[..., AbstractContextManager[tuple[Contact, ...]]]
Hosts = Callable[..., AbstractContextManager[tuple[Host, ...]]]
Reference = Callable[..., list[int]]

LAYERS = 24
"""Of the model that hosts fetch."""


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Identities and caches of these tests, and of the processes they start, go to a folder of their own."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "CACHE", "CONFIG"):
            patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
        hosts.fork_server()
        yield home


@pytest.fixture(autouse=True)
def strangers(own_home: Path) -> None:
    """Nobody remembers the hosts of earlier tests, which are gone or somebody else's."""
    forget_contacts()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of five layers with random weights, float32, 512 positions, and a byte-level tokenizer."""
    from scripts.make_model import write_tiny

    folder = write_tiny(tmp_path_factory.mktemp("models") / "tiny-llama", "llama", vocab_size=512)
    return chat_folder.byte_level(folder)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of `LAYERS` layers in one file, with a tokenizer: 3 MB."""
    import torch

    from scripts.make_model import tiny_fields, write_model

    fields = {**tiny_fields("llama"), "vocab_size": 512, "num_hidden_layers": LAYERS}
    folder = write_model(tmp_path_factory.mktemp("models") / "deep", "llama", fields, dtype=torch.float32)
    return chat_folder.byte_level(folder)


@pytest.fixture(scope="session")
def manifest(checkpoint: Path) -> Manifest:
    """What the hub's model is, byte for byte."""
    return build_manifest(checkpoint)


@pytest.fixture(scope="session")
def run_hosts(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    """Run hosts: `with run_hosts(model, ["1:3", "3:5"], HostOptions(...)) as hosts`."""

    def run(
        model: Path, ranges: Sequence[str], options: HostOptions | None = None
    ) -> AbstractContextManager[tuple[Host, ...]]:
        return hosts.running(tmp_path_factory.mktemp("hosts"), model, ranges, options)

    return run


@pytest.fixture(scope="session")
def swarm(run_hosts: Hosts) -> Swarm:
    """Run hosts and say where they are: `with swarm(model, ["1:3", "3:5"], dtype="float32") as contacts`."""

    @contextmanager
    def run(
        model: Path, ranges: Sequence[str], dtype: str | None = "float32"
    ) -> Iterator[tuple[Contact, ...]]:
        with run_hosts(model, ranges, HostOptions(dtype=dtype)) as started:
            yield tuple(host.contact for host in started)

    return run


@pytest.fixture(scope="session")
def whole_model_tokens() -> Reference:
    """Tokens of the whole model, in this process: `whole_model_tokens(folder, ids, n, Sampling(), dtype="float32")`."""
    load = cache(whole.load)

    def tokens(
        folder: Path,
        ids: Sequence[int],
        count: int,
        sampling: Sampling | None = None,
        *,
        dtype: str = "float32",
    ) -> list[int]:
        return whole.tokens(load(folder, dtype), ids, count, sampling or Sampling())

    return tokens
