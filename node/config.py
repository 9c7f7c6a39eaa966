"""What a host daemon is asked to do, checked before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.manners.hours import Hours
from node.slices.spec import CPU
from wire import limits
from wire.contacts import Contact
from wire.tensors import WeightFormat
from wire.types import DEFAULT_NETWORK, Address, LayerRange

USUAL_LISTEN: Final = Address("0.0.0.0", 7311)  # noqa: S104 - a host is there to be reached by others
DEFAULT_KV_BYTES: Final = 1 << 30
DEFAULT_GRACE_S: Final = 5.0
DEFAULT_DRAIN_GRACE_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class SliceRequest:
    """One range of one model to serve."""

    model: str
    """`pocket`, the folder of a checkpoint, a model id, or `hf:org/name[@revision]`."""
    layers: LayerRange | None
    """None for all of the model's layers."""

    def __str__(self) -> str:
        return self.model if self.layers is None else f"{self.model} {self.layers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything `lamella-node` can be told."""

    slices: tuple[SliceRequest, ...] = ()
    """To serve, besides what was joined over the control socket; none for a host that waits for that, or relays."""
    listen: tuple[Address, ...] = ()
    """Where links and datagrams are taken, the first for people to read; at `USUAL_LISTEN`, or a free port of it when
    that is taken, when empty."""
    identity_file: Path | None = None
    """The shared identity when None."""
    network: str = DEFAULT_NETWORK
    dtype: str | None = None
    """The checkpoint's own when None."""
    weights: WeightFormat | None = None
    """How the weights are kept; as the checkpoint has them when None."""
    threads: int | None = None
    """Threads for computing; chosen from the machine when None."""
    device: str = CPU
    """Where the slices are held and computed: `cpu`, `cuda`, or `cuda:N`."""
    kv_bytes: int | None = None
    """Memory for the KV caches of all sessions; `DEFAULT_KV_BYTES`, or by the GPU's memory, when None."""
    peers: tuple[Contact, ...] = ()
    """Peers that are known, where they take links."""
    invited: tuple[Contact, ...] = ()
    """Those of a join string."""
    bootstrap: Path | None = None
    """A signed list of peers to begin with; the one that came with the release, if any, when None."""
    signer: bytes | None = None
    """The Ed25519 public key whose list is believed; the one pinned in the program when None."""
    lan: bool = True
    """Whether to find, and be found by, peers of the local network; not where only this machine is listened to."""
    listed: bool = True
    """Whether peers may tell others of this host, and the local network hear of it."""
    maps: bool = True
    """Whether to ask the router to let others through; not where only this machine is listened to."""
    relay: bool = False
    """Whether to carry links for peers that nobody can dial."""
    share: Address | None = None
    """Where to give chunks of weights to peers; beside `listen`, at any free port, when None."""
    shares: bool = True
    """Whether to give any."""
    disk_bytes: int | None = None
    """The most that fetched weights may take on disk; None for no bound."""
    download_bytes_per_s: float | None = None
    upload_bytes_per_s: float | None = None
    dht: bool = True
    """Whether to be found, and to find others, by the DHT that the peers are part of."""
    offline: bool = False
    """Use the weights that are here, and fetch none."""
    auto: bool = False
    """Choose the layers by what peers serve, and other ones when that helps; for one model without layers."""
    memory_bytes: int | None = None
    """Memory that this process may take, by which layers are chosen; by what is free when None."""
    grace_s: float = DEFAULT_GRACE_S
    """How long answers under way may go on after a stop is asked for."""
    drain_grace_s: float = DEFAULT_DRAIN_GRACE_S
    """How long those on a slice may that is drained or left, unless whoever asks for it says otherwise."""
    max_sessions: int = limits.MAX_SESSIONS
    """Sessions that may be open at once."""
    max_sessions_per_peer: int = limits.MAX_SESSIONS_PER_PEER
    """Of them, those of one peer."""
    tokens_per_peer: int | None = None
    """Tokens an hour that are computed for one peer; any number when None."""
    nice: int | None = None
    """The niceness to run at, so that other programs go first; as it was started when None."""
    hours: Hours | None = None
    """When to serve; at any time when None."""
    pause_on_battery: bool = False
    """Whether to take no new sessions while this machine runs on its battery."""
    busy_above: float | None = None
    """The share of the processors that others may want before no new sessions are taken; any when None."""
    control: Path | None = None
    """Where the control socket is; in the runtime folder when None."""
    controls: bool = True
    """Whether there is one."""
    metrics: Address | None = None
    """Where this machine may ask for metrics and health; nowhere when None."""
    log: str = "auto"
    """How the log is written: for a `human`, as `json` lines, or `auto`, which is the former on a terminal only."""
    log_level: str = "info"
    """The least grave records that are written: `debug`, `info`, `warning` or `error`."""
    json: bool = False
    """Status as JSON lines on standard output."""
