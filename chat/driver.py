"""The seam between an answer's machinery and whoever shows it: the command line, the screen, later an HTTP gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from chat.events import Event
from wire.contacts import Contact
from wire.tensors import WeightFormat
from wire.types import DEFAULT_NETWORK, ModelId, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Everything a person can choose about how their questions are answered."""

    model: str
    """`pocket`, the folder of a checkpoint, a model id, or `hf:org/name[@revision]`."""
    contacts: tuple[Contact, ...]
    front_layers: int = 1
    """Layers, after the embedding, that this machine computes itself."""
    private_ends: bool = False
    """Also keep the final norm and `lm_head` here, so that no host sees a token id."""
    allow_tokens: bool = False
    """Let hosts see the tokens themselves, of models whose layers need them."""
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 512
    """The longest answer, in tokens."""
    context: int | None = None
    """Positions to reserve at each host; the model's own limit, at most 4096, when None."""
    dtype: str | None = None
    """`float32`, `bfloat16` or `float16`; the checkpoint's own when None."""
    weights: WeightFormat | None = None
    """How hosts keep their weights, and this machine its own; None takes any of the hosts', and here
    those that the checkpoint has."""
    system: str | None = None
    """A system message to begin the conversation with."""
    network: str = DEFAULT_NETWORK
    identity_file: Path | None = None
    threads: int | None = None
    disk: int | None = None
    """The most that fetched weights may take on disk, in bytes; None for no bound."""
    download_rate: int | None = None
    """Bytes a second to fetch weights with; None for no bound."""
    invited: tuple[Contact, ...] = ()
    """Those of a join string."""
    bootstrap: Path | None = None
    """A signed list of hosts to begin with; the one that came with the release, if any, when None."""
    signer: bytes | None = None
    """The Ed25519 public key whose list is believed; the one pinned in the program when None."""
    lan: bool = False
    """Look around on the local network; `lamella` does unless it is told not to."""
    dht: bool = True
    """Search for hosts beside the contacts, by the DHT that the contacts are part of."""
    offline: bool = False
    """Use the weights that are here, and fetch none."""
    control: Path | None = None
    """Control socket of the host that runs on this machine; in the runtime folder when None."""


class Driver(Protocol):
    """One conversation with one model over one swarm."""

    @property
    def model_name(self) -> str:
        """The model's name for people."""
        ...

    @property
    def model_id(self) -> ModelId:
        """The model's id."""
        ...

    def ask(self, text: str) -> AsyncIterator[Event]:
        """Ask the next question of the conversation.

        Closing the iterator, or cancelling the task that reads it, cancels the answer at every hop; what was
        answered so far stays in the conversation. Raises an error of `chat.errors` while iterating.
        """
        ...

    async def reset(self) -> None:
        """Forget the conversation, here and at every hop."""
        ...

    async def close(self) -> None:
        """End the sessions and links. Safe to call twice."""
        ...
