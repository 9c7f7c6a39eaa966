"""Everything `lamella-node` can be told: one row a setting.

A row's name makes the key of the file (`kv-memory`), the flag (`--kv-memory`) and the variable
(`LAMELLA_NODE_KV_MEMORY`), and all three are read by the same reader; the table in `docs/configuration.md` is made of
the rows too. To add a setting, add its field to `NodeConfig` and its row here. What is said last in this order holds:
defaults, file, environment, flags; a list is replaced as a whole.

The variables begin with LAMELLA_NODE_, since LAMELLA_ alone is the client's: with one name for both, LAMELLA_THREADS or
LAMELLA_MODEL meant for a chat would change what a host serves. A few are about neither: which swarm this machine is in
and how it finds it, who it is there, and how large the one store of this user may grow. For those the host believes
the client's variable as well, unless its own says otherwise.

`lamella-node --help` is made from this module, so it imports nothing that takes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from node import readers
from node.readers import Reader, number, one_of, or_off, rate, several, size, switch, whole
from wire import limits

if TYPE_CHECKING:
    from node.config import NodeConfig

OWN: Final = "LAMELLA_NODE_"
"""How the variables of the host begin."""
SHARED: Final = "LAMELLA_"
"""How those of the client begin, some of which are the host's too."""
MOST_LISTENED: Final = 4
MOST_NICE: Final = 19
LONGEST_GRACE_S: Final = 86_400
LEAST_TOKENS, MOST_TOKENS = 1_000, 1_000_000_000
"""Fewer would not last for one answer."""
LEAST_UPLOAD_RATE: Final = 32 * 1024
"""Two readers of weights at the least that they take, or a step and its acknowledgements."""
LEAST_DOWNLOAD_RATE: Final = 128 * 1024
"""What buffers hold of a prompt on its way must pass before its sender gives up waiting (specs/wire.md §Liveness)."""


class Reload(Enum):
    """What a running host can do about a value that has changed in the file."""

    RESTART = "after a restart"
    NOW = "at once"
    ADDED = "what is added at once, what is taken away after a restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing that can be chosen."""

    name: str
    read: Reader
    """Checks a value and returns it as `NodeConfig` holds it."""
    metavar: str = ""
    """What the value is, on the command line; empty for a switch."""
    help: str
    default: str
    """What holds when nothing is said, in words; as it would be written, where it can be."""
    field: str = ""
    """Its field of `NodeConfig`, where that has another name."""
    off: str = ""
    """The field that is false when the value is `off`, where `None` means something else."""
    repeats: str = ""
    """What one value is called on the command line, for a list."""
    negative: str = ""
    """The flag that turns a switch off, where it is not `--no-` and the name."""
    reload: Reload = Reload.RESTART
    shared: bool = False
    """Whether the variable of the client, which begins with `SHARED` alone, is heard as well."""
    secret: bool = False
    """Whether the value is kept out of logs and answers: who knows a swarm's name is let into it."""

    @property
    def key(self) -> str:
        """Its key in the file; underscores are taken for the dashes."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.repeats or self.key}"

    @property
    def flags(self) -> tuple[str, ...]:
        """The option, and the one that says the opposite."""
        return (self.flag,) if self.metavar else (self.flag, self.negative or f"--no-{self.key}")

    @property
    def variable(self) -> str:
        """The host's variable of the environment."""
        return OWN + self.name.upper()

    @property
    def variables(self) -> tuple[str, ...]:
        """Those that are heard, the one that wins last."""
        return (SHARED + self.name.upper(), self.variable) if self.shared else (self.variable,)

    def fields(self, value: object) -> dict[str, Any]:
        """Return what a value that was read makes of the fields of `NodeConfig`."""
        found: dict[str, Any] = {self.field or self.name: value}
        return found | {self.off: value is not None} if self.off else found

    def of(self, config: NodeConfig) -> object:
        """Return the value that `config` holds; False where it is off."""
        if self.off and not getattr(config, self.off):
            return False
        return getattr(config, self.field or self.name)


def _row(name: str, read: Reader, metavar: str, help_: str, default: str, **more: Any) -> Setting:
    return Setting(name=name, read=read, metavar=metavar, help=help_, default=default, **more)


_NOW: Final = {"reload": Reload.NOW}
_PEER: Final = {"reload": Reload.ADDED}
_FORMATS: Final = "native, int8, int4-32, int4-64 or int4-128"

SLICE: Final = _row(
    "slice", lambda value: value, "TABLE", "a model to serve, in whole or in part", "none", field="slices"
)
"""The slices; the one setting that is a table of the file, and takes two flags and two variables."""
MODEL: Final = _row(
    "model", readers.text, "MODEL", "pocket, a folder, hf:org/name[@revision], or a model id", "none"
)
LAYERS: Final = _row(
    "layers", several(readers.layers), "START:END", "ranges of its layers to serve, as in 6:12", "all of them"
)


def _hours(value: object) -> object:
    from node.manners.hours import Hours

    return Hours.parse(str(value))


SETTINGS: Final = (
    _row(
        "listen", several(readers.address), "IP:PORT",
        "where to take links and datagrams, as in [::]:7311 too; port 0 picks a free one",
        "0.0.0.0:7311, or a free port when that is taken", repeats="listen",
    ),
    _row(
        "identity", readers.path, "FILE", "file of this host's identity", "the one shared with `lamella`",
        field="identity_file", shared=True,
    ),
    _row(
        "network", readers.network, "NAME", "peers of another network are refused, and get no weights",
        "that of --join, or else main", shared=True, secret=True,
    ),
    _row("dtype", readers.dtype, "DTYPE", f"numerics: {', '.join(readers.DTYPES)}", "the checkpoint's"),
    _row(
        "weights", readers.weights, "FORMAT",
        f"bits of the weights: {_FORMATS}; fewer are faster and smaller, and change the answers a little; "
        "they need bfloat16",
        "as the folder has them",
    ),
    _row(
        "device", readers.device, "DEVICE",
        "where to hold and compute the layers: cpu, cuda or cuda:N; a GPU needs a CUDA build of torch, and is "
        "untested so far",
        "cpu",
    ),
    _row("threads", whole(1, readers.MOST_THREADS), "N", "compute threads", "one per core"),
    _row(
        "nice", whole(0, MOST_NICE), "N", "niceness to run at, so that other programs of this machine go first",
        "as it was started",
    ),
    _row(
        "kv_memory", size, "SIZE", "memory for sessions, as in 512M or 4G",
        "1G; on a GPU half of what the layers leave free", field="kv_bytes",
    ),
    _row(
        "auto", switch, "",
        "choose the layers: those that fit and that the hosts known lack most; later others, when that helps and "
        "leaves no gap",
        "no",
    ),
    _row(
        "memory", size, "SIZE", "with --auto: memory for this process, sessions included",
        "three quarters of what is free", field="memory_bytes",
    ),
    _row(
        "max_sessions", whole(1, limits.MAX_SESSIONS), "N", "sessions that may be open at once",
        str(limits.MAX_SESSIONS), **_NOW,
    ),
    _row(
        "max_sessions_per_peer", whole(1, limits.MAX_SESSIONS_PER_PEER), "N", "of them, those of one peer",
        str(limits.MAX_SESSIONS_PER_PEER), **_NOW,
    ),
    _row(
        "tokens_per_peer", whole(LEAST_TOKENS, MOST_TOKENS), "N",
        "tokens an hour, those of prompts included, that are computed for one peer; this machine's own are not counted",
        "no bound", **_NOW,
    ),
    _row(
        "peers", several(readers.contact), "PEER",
        "a peer that is known, IP:PORT or PEERID@IP:PORT, to find others by and get weights from", "none",
        repeats="peer", **_PEER,
    ),
    _row(
        "join", readers.text, "STRING", "a join string, lamella:..., which names a network and peers of it",
        "none", field="invited", shared=True, secret=True, **_PEER,
    ),
    _row(
        "lan", switch, "", "look for peers on the local network, and be found there", "yes", shared=True
    ),
    _row(
        "bootstrap", readers.path, "FILE", "a signed list of peers to begin with",
        "the one that came with the release", shared=True,
    ),
    _row(
        "bootstrap_key", readers.signer, "HEX", "whose list is believed, by the Ed25519 public key",
        "the one in the program", field="signer", shared=True,
    ),
    _row(
        "map", switch, "", "ask the router to let others through (by PCP, NAT-PMP or UPnP)", "yes", field="maps"
    ),
    _row(
        "relay", switch, "",
        "carry links for peers that nobody can dial; what that may take is bounded (specs/reachability.md)", "no",
    ),
    _row(
        "listed", switch, "", "let peers tell others of this host; without, only its records do", "yes",
        negative="--unlisted",
    ),
    _row("dht", switch, "", "be found, and find others, by the DHT", "yes", shared=True),
    _row(
        "share", or_off(readers.address), "IP:PORT", "where to give weights to peers, or off",
        "beside --listen, at any free port", off="shares",
    ),
    _row(
        "disk", size, "SIZE",
        "the most that fetched weights may take on disk, as in 20G; what was used longest ago goes first",
        "no bound", field="disk_bytes", shared=True,
    ),
    _row(
        "download_rate", rate(LEAST_DOWNLOAD_RATE, "a peer whose prompt comes more slowly takes this host for dead"),
        "SIZE",
        "bytes a second this host receives at most, as in 10M: sessions, which go first, what it carries for others, "
        "weights that it fetches, and datagrams",
        "no bound", field="download_bytes_per_s", **_NOW,
    ),
    _row(
        "upload_rate", rate(LEAST_UPLOAD_RATE, "peers give up what comes more slowly"), "SIZE",
        "bytes a second this host sends at most, as in 2M: sessions, which go first, what it carries for others, "
        "weights that it gives, and datagrams",
        "no bound", field="upload_bytes_per_s", **_NOW,
    ),
    _row("offline", switch, "", "fetch nothing; use the weights that are here", "no"),
    _row(
        "grace", number(0, LONGEST_GRACE_S), "SECONDS",
        "how long answers may go on after a stop is asked for", "5", field="grace_s", **_NOW,
    ),
    _row(
        "drain_grace", number(0, LONGEST_GRACE_S), "SECONDS",
        "how long answers may go on after a drain or a leave is asked for that does not say it itself", "300",
        field="drain_grace_s", **_NOW,
    ),
    _row(
        "control", or_off(readers.path), "PATH", "where the control socket is, or off",
        "control.sock in the runtime folder", off="controls",
    ),
    _row(
        "metrics", or_off(readers.loopback), "IP:PORT",
        "where this machine, and no other, may ask for metrics and health, as in 127.0.0.1:9311", "off",
    ),
    _row(
        "log", one_of("human", "json", "auto"), "FORM",
        "how the log is written: human, json, or auto, which is human on a terminal and else json", "auto",
    ),
    _row(
        "log_level", one_of("debug", "info", "warning", "error"), "LEVEL",
        "the least grave records that are written: debug, info, warning or error", "info", **_NOW,
    ),
    _row(
        "hours", _hours, "HOURS", "when to serve, as in `mon-fri 18:00-23:30, sat+sun 00:00-24:00`", "at any time",
        **_NOW,
    ),
    _row("pause_on_battery", switch, "", "take no new sessions while this machine runs on its battery", "no", **_NOW),
    _row(
        "busy_above", number(0.05, 1), "SHARE",
        "take no new sessions while other programs want more than this share of the processors", "no bound", **_NOW,
    ),
    _row("json", switch, "", "status as JSON lines on standard output", "no"),
)  # fmt: skip
"""In the order of the help and of the documented table."""
BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
RELOADABLE: Final = frozenset(setting.name for setting in SETTINGS if setting.reload is not Reload.RESTART)
"""What a running host has to know how to apply."""
