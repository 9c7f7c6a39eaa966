"""What the host answers over the control socket. Field by field in `specs/control.md`, whose tables are made from this.

Ids of peers and sessions are short ones, for people. Nothing here may carry a prompt, a token's text or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from wire.types import LayerRange


class DaemonState(Enum):
    """What the host as a whole does."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    PAUSED = "paused"
    STOPPING = "stopping"


class SliceState(Enum):
    """What a slice does."""

    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class JoinPhase(Enum):
    """The step that loading a slice is at, in this order; steps with nothing to do are left out."""

    WAITING = "waiting"
    OPENING = "opening"
    FETCHING = "fetching"
    LOADING = "loading"
    ANNOUNCING = "announcing"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceLine:
    """A slice in few words."""

    name: str
    """What `leave`, `drain` and `undrain` call it; one of a kind in this host."""
    model: str
    """The model's name for people."""
    layers: LayerRange | None
    """Null while the model is still being opened."""
    state: SliceState
    progress: float | None = None
    """How far the state is, from 0 to 1; null when it has no end or that is not known."""
    sessions: int = 0
    """Sessions open on it."""
    detail: str | None = None
    """Why it failed, or what it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFacts:
    """Everything about a slice."""

    name: str
    """What `leave`, `drain` and `undrain` call it."""
    model: str
    """The model's name for people."""
    model_id: str | None
    """Null while the model is still being opened."""
    layers: LayerRange | None
    """Null while the model is still being opened."""
    state: SliceState
    head: bool = False
    """Whether it draws tokens."""
    dtype: str | None = None
    weights: str | None = None
    """How the weights are kept: native, int8, int4-32..."""
    device: str = "cpu"
    weight_bytes: int = 0
    """Memory its weights take."""
    kv_bytes: int = 0
    """Memory its sessions have reserved."""
    sessions: int = 0
    step_us: int | None = None
    """The usual time of one token, in microseconds; null when there was none yet."""
    progress: float | None = None
    """As in `SliceLine`."""
    detail: str | None = None
    """As in `SliceLine`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory the host has taken for its work."""

    weight_bytes: int
    """Weights of all slices."""
    kv_used_bytes: int
    """Reserved by the sessions that are open."""
    kv_total_bytes: int
    """What all sessions together may reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast bytes may pass, those of links, datagrams and weights together."""

    upload_bytes_per_s: float | None = None
    """What this host sends in a second at most; null for no bound."""
    download_bytes_per_s: float | None = None
    """What it receives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaying:
    """What the host carries for peers that nobody can dial."""

    circuits: int
    """Links carried now."""
    carried_bytes: int
    """Bytes handed on since the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the host does now."""

    peer_id: str
    version: str
    """Of the program, as in `lamella-node --version`."""
    pid: int
    uptime_s: float
    state: DaemonState
    why: str | None = None
    """Why it is in this state, where that is not what it was started for: paused by hand, on battery..."""
    network: str
    addresses: tuple[str, ...] = ()
    """Where it takes links."""
    slices: tuple[SliceLine, ...] = ()
    sessions: int = 0
    memory: Memory
    rates: Rates = field(default_factory=Rates)
    links: int = 0
    """Links to peers."""
    dht_nodes: int | None = None
    """Nodes of the DHT that are known; null when it is off."""
    reachability: str
    """One sentence: whether others reach this host, and how that is known."""
    relay: Relaying | None = None
    """Null when it carries nothing for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """The slices of the host."""

    slices: tuple[SliceFacts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinProgress:
    """How far a slice is that is being loaded."""

    slice: str
    """Its name."""
    phase: JoinPhase
    fraction: float | None = None
    """Of this phase, from 0 to 1; null when it is not known."""
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A slice that serves now."""

    slice: SliceLine
    seconds: float
    """How long it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainProgress:
    """How far a slice is that is being emptied."""

    slice: str
    """Its name."""
    state: SliceState
    sessions: int
    """Still open."""
    left_s: float
    """Of the grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Slices that are empty now, and their memory free."""

    slices: tuple[str, ...] = ()
    """Their names."""
    finished: int = 0
    """Sessions that ended by themselves."""
    cut_off: int = 0
    """Sessions that were ended when the grace was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What the host does after a command that changed it."""

    state: DaemonState
    slices: tuple[SliceLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLine:
    """A peer that a link leads to."""

    peer: str
    """Its short id."""
    agent: str | None = None
    """The program it says it is."""
    address: str | None = None
    dialled: bool = False
    """Whether this host opened the link."""
    relayed: bool = False
    """Whether a relay carries it."""
    linked_s: float = 0.0
    """Age of the link."""
    rtt_ms: float | None = None
    """The last round trip; null when none was measured."""
    sessions: int = 0
    """Sessions of this peer."""
    sent_bytes: int | None = None
    received_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """Peers that are linked."""

    peers: tuple[PeerLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """A session that is open here."""

    session: str
    """Its short id."""
    client: str
    """The client's short id."""
    slice: str
    """The name of the slice that computes it."""
    layers: LayerRange
    """The layers it asked for."""
    positions: int
    """Positions in its cache."""
    max_positions: int
    """Positions it has reserved."""
    tokens: int
    """Tokens computed for it, its prompt's too."""
    idle_s: float
    """Time since its last step."""
    active: bool = False
    """Whether a step is under way or was a moment ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Sessions that are open."""

    sessions: tuple[SessionLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Measured values."""

    values: Mapping[str, float]
    """By their Prometheus names, labels included; values are finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A record of the host's log."""

    time: float
    """Unix time, in seconds."""
    level: str
    """A `LogLevel`, or a graver one."""
    logger: str
    message: str
    """Its first `MAX_LOG_CHARS` characters."""
    session: str | None = None
    """The short id of the session it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsEnd:
    """The log is told as far as was asked for."""

    records: int
    """How many were sent."""
    dropped: int = 0
    """How many were not, because the client read too slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What became of a changed configuration."""

    applied: tuple[str, ...] = ()
    """Keys whose new values hold now."""
    needs_restart: tuple[str, ...] = ()
    """Keys whose new values hold after a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """The host is about to end; the connection ends with it."""

    sessions: int
    """Open when the stop was asked for."""
    grace_s: float
    """How long they may still take."""
