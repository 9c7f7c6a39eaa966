"""Everything a host can be asked about itself at the moment of a scrape. What it counts as it goes is in `tally`.

Each field with a `Metric` is one metric. The host gives values; the areas that are off it gives as None, and their
metrics are left out. `docs/metrics.md` is made from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol

from node.sight.declared import Histogram, Kind, Label, Metric
from wire.codes import Code

_LINK_CODES, _SESSION_CODES = 32, 96
"""The first codes that do not end a link, and that do not refuse or end a session either."""
LINK_CODES: Final = tuple(code.text for code in Code if code < _LINK_CODES)
SESSION_CODES: Final = tuple(code.text for code in Code if code < _SESSION_CODES)
"""What ends a link may end a session."""
STATES: Final = ("starting", "serving", "draining", "paused", "stopping")
"""What a host does, in the words of the control socket."""
SLICE_STATES: Final = ("loading", "serving", "draining", "stopped", "failed")
DIRECTIONS: Final = ("inbound", "outbound")
ROADS: Final = ("direct", "relayed")
WAYS: Final = ("upload", "download")
SOURCES: Final = ("hub", "peer")
LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_LAG_BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _gauge(name: str, words: str, *labels: Label) -> Metric:
    return Metric(f"lamella_{name}", Kind.GAUGE, words, labels)


def _counter(name: str, words: str, *labels: Label) -> Metric:
    return Metric(f"lamella_{name}_total", Kind.COUNTER, words, labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostingFacts:
    """The host as a whole."""

    uptime_s: Annotated[float, _gauge("uptime_seconds", "Time since the host started.")]
    state: Annotated[str, _gauge("state", "1 for what the host does now.", Label("state", STATES))]
    slices: Annotated[
        Mapping[str, int], _gauge("slices", "Slices held, by what they do.", Label("state", SLICE_STATES))
    ] = field(default_factory=dict)
    tasks: Annotated[int | None, _gauge("tasks", "Tasks of the event loop that have not ended.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """Sessions now."""

    open: Annotated[int, _gauge("sessions_open", "Sessions held.")]
    active: Annotated[int, _gauge("sessions_active", "Sessions with a step under way or a moment ago.")] = 0
    most: Annotated[int | None, _gauge("sessions_limit", "Sessions that can be held at once.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFacts:
    """Memory taken for the host's work; that of the process is told by `process_resident_memory_bytes`."""

    weight_bytes: Annotated[int, _gauge("weight_bytes", "Memory that the weights of all slices take.")]
    kv_used_bytes: Annotated[int, _gauge("kv_used_bytes", "KV memory reserved by open sessions.")]
    kv_total_bytes: Annotated[
        int, _gauge("kv_total_bytes", "KV memory that all sessions together may reserve.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFacts:
    """Links to peers."""

    open: Annotated[
        Mapping[tuple[str, str], int],
        _gauge(
            "links",
            "Links, by who opened them and whether a relay carries them.",
            Label("direction", DIRECTIONS),
            Label("road", ROADS),
        ),
    ] = field(default_factory=dict)
    """By `(direction, road)`."""
    round_trip_median_s: Annotated[
        float | None, _gauge("link_round_trip_median_seconds", "The middle round trip of all links.")
    ] = None
    round_trip_max_s: Annotated[
        float | None, _gauge("link_round_trip_max_seconds", "The slowest round trip of all links.")
    ] = None
    sent_bytes: Annotated[int | None, _counter("link_sent_bytes", "Bytes sent over links, encrypted.")] = None
    received_bytes: Annotated[
        int | None, _counter("link_received_bytes", "Bytes received over links, encrypted.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtFacts:
    """The part of the DHT that this host is."""

    contacts: Annotated[int, _gauge("dht_contacts", "Nodes in the routing table.")]
    announced: Annotated[int, _gauge("dht_records_announced", "Records of this host that are announced.")] = 0
    stored: Annotated[int | None, _gauge("dht_records_stored", "Records of others kept here.")] = None
    requests: Annotated[int, _counter("dht_requests", "Requests sent.")] = 0
    lost: Annotated[int, _counter("dht_requests_lost", "Requests that nobody answered in time.")] = 0
    throttled: Annotated[
        int, _counter("dht_datagrams_throttled", "Datagrams not read, since their sender sent too many.")
    ] = 0
    refused: Annotated[
        int,
        _counter("dht_datagrams_refused", "Datagrams that were malformed, forged or of a silenced sender."),
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """Weights that pass between machines and lie on the disk."""

    given_bytes: Annotated[int, _counter("weights_given_bytes", "Bytes of weights given to peers.")] = 0
    fetched_bytes: Annotated[
        Mapping[str, int],
        _counter(
            "weights_fetched_bytes",
            "Bytes of weights fetched, by whom they came from.",
            Label("source", SOURCES),
        ),
    ] = field(default_factory=dict)
    answering: Annotated[
        int, _gauge("weights_answers", "Answers to peers' requests for weights under way.")
    ] = 0
    disk_limit_bytes: Annotated[
        int | None, _gauge("weights_disk_limit_bytes", "Disk that fetched weights may take.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateFacts:
    """How fast bytes may pass, those of links, datagrams and weights together; nothing where there is no limit."""

    upload_bytes_per_s: Annotated[
        float | None, _gauge("upload_limit_bytes_per_second", "Bytes that may be sent in a second.")
    ] = None
    download_bytes_per_s: Annotated[
        float | None, _gauge("download_limit_bytes_per_second", "Bytes that may be received in a second.")
    ] = None
    waiting: Annotated[
        Mapping[str, int],
        _gauge(
            "rate_waiting",
            "Links and transfers that wait for their turn to send or receive.",
            Label("direction", WAYS),
        ),
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFacts:
    """What this host carries for peers that cannot be dialled."""

    circuits: Annotated[int, _gauge("relay_circuits", "Links of others carried now.")]
    carried_bytes: Annotated[int, _counter("relay_carried_bytes", "Bytes handed on for others.")]


@dataclass(slots=True, kw_only=True)
class PulseFacts:
    """Whether the program still answers; kept by `watch.Watch`."""

    loop_lag: Annotated[
        Histogram,
        Metric(
            "lamella_loop_lag_seconds", Kind.HISTOGRAM, "How late the event loop was, measured once a second."
        ),
    ] = field(default_factory=lambda: Histogram(_LAG_BOUNDS_S))
    compute_wait: Annotated[
        Histogram,
        Metric(
            "lamella_compute_wait_seconds",
            Kind.HISTOGRAM,
            "How long a job that does nothing waited for the compute thread, asked every few seconds.",
        ),
    ] = field(default_factory=lambda: Histogram(_LAG_BOUNDS_S))
    healthy: Annotated[bool, _gauge("healthy", "Whether event loop and compute thread answer.")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """The log itself; kept by `logs.Logs`."""

    records: Annotated[
        Mapping[str, int], _counter("log_records", "Records logged.", Label("level", LEVELS))
    ] = field(default_factory=dict)
    spared: Annotated[int, _counter("log_records_spared", "Records not logged, as too many were alike.")] = 0
    unwritten: Annotated[int, _counter("log_records_unwritten", "Records that could not be written out.")] = 0


class Facts(Protocol):
    """What the host answers at the moment of a scrape, from the event loop, in microseconds. None: that part is off."""

    def hosting(self) -> HostingFacts: ...
    def sessions(self) -> SessionFacts: ...
    def memory(self) -> MemoryFacts: ...
    def links(self) -> LinkFacts: ...
    def dht(self) -> DhtFacts | None: ...
    def weights(self) -> WeightFacts | None: ...
    def rates(self) -> RateFacts: ...
    def relay(self) -> RelayFacts | None: ...


def unready(hosting: HostingFacts) -> str | None:
    """Say why no session can be taken now; None when one can."""
    match hosting.state:
        case "serving":
            pass
        case "starting":
            return "starting"
        case state:
            return f"{state}: takes no new sessions"
    if hosting.slices.get("serving", 0) > 0:
        return None
    for state, words in (("loading", "loading a slice"), ("draining", "draining its slices")):
        if hosting.slices.get(state, 0) > 0:
            return words
    return "serves no slice"
