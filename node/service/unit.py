"""The text of the unit file, as a pure function of what is to run and of the systemd that is to run it.

What a unit of a user's own systemd can really have was tried on a real one, unprivileged, and differs from what its
manual pages suggest. Without a user namespace (`PrivateUsers=`) everything that changes mounts is ignored without
a word (`ProtectSystem=`, `PrivateTmp=`, `InaccessiblePaths=`), and what takes capabilities keeps the unit from
starting (`CapabilityBoundingSet=`, `PrivateDevices=`, `ProtectKernelModules=`). With one all of it bites. But a
machine may forbid user namespaces, so those lines are one block, `SANDBOX`, that is tried before it is written.

Left out on purpose: `ProtectControlGroups=`, `ProtectKernelTunables=` and `ProtectProc=`, since an unprivileged
systemd cannot mount what they need, and then, again without a word, leaves everything else writable as well;
`MemoryDenyWriteExecute=`, under which torch cannot make its bfloat16 products, whose code is compiled as it is first
needed; `ProcSubset=pid`, which hides how much memory is free; `PrivateIPC=`, which fails in a user namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.service.notify import STOP_EXTENSION_S
from node.service.quoting import line, path_word, word

MARKER: Final = "# Written by `lamella-node service install`."
"""The first line of every unit that is ours; without it a unit is somebody else's and is left alone."""
LINGER_MARKER: Final = "# Lingering was off before, and goes off again when this is uninstalled."
DEFAULT_NICE: Final = 10
"""The host is a guest on a machine that somebody works at."""
OLDEST_VERSION: Final = 245
"""`:` before a command, on which the quoting of its words rests, came with systemd 244; 245 is Ubuntu 20.04's."""
_BACK_OFF_VERSION: Final = 254
"""The first with `RestartSteps=` and `RestartMaxDelaySec=`."""
_PLAIN_RESTART_S: Final = 30.0
"""Where restarts cannot come more and more rarely: seldom enough that a host which cannot start is no burden."""
_WRONG_USAGE: Final = 2
_ABORT_S: Final = 10.0
"""A host that hangs is told to dump its stacks, and killed when it cannot even do that."""
_START_S: Final = 300.0
"""Until the first sign of life: importing torch from a slow disk while the machine boots."""

SANDBOX: Final = (
    "PrivateUsers=yes",
    "ProtectSystem=strict",
    # `strict` leaves these to ProtectHome=, which does not make them read-only here.
    "ReadOnlyPaths=-/home -/root -/run/user",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "CapabilityBoundingSet=",
)
"""What needs a user namespace."""
_ALWAYS: Final = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
    "KeyringMode=private",
    "UMask=0077",
)
"""What any user's systemd can do. Netlink is how the machine's own addresses are found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Systemd:
    """What is known of the systemd that is to run the unit."""

    version: int
    sandbox: bool
    """Whether `SANDBOX` works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to run, and how."""

    command: tuple[str, ...]
    """The program, by its absolute path, and its words."""
    folder: Path
    """Where relative paths among the words begin."""
    environment: tuple[tuple[str, str], ...] = ()
    writable: tuple[Path, ...] = ()
    """Folders the host writes to, absolute. They have to be there when it starts."""
    cache: str | None = None
    """The name of a folder in the user's cache to make at each start, since a cache may be deleted any time."""
    runtime: str | None = None
    """The name of a folder to make among those of the login session."""
    hidden: tuple[Path, ...] = ()
    """What the host has no business with; need not exist."""
    private_tmp: bool = True
    """Whether the shared temporary folders are out of its sight."""
    devices: bool = False
    """Whether it needs devices, such as a GPU."""
    grace_s: float
    """How long it may take to finish its work when told to stop."""
    kill: str | None = None
    """The path of the program `kill`, for reloading."""
    nice: int = DEFAULT_NICE
    memory_max_bytes: int | None = None
    """Beyond this the kernel ends it; None for no bound."""
    watchdog_s: float = 60.0
    """Silence after which it is restarted."""
    restart_s: float = 2.0
    """Before the first restart."""
    restart_max_s: float = 300.0
    """What that grows to while it fails again and again."""

    @property
    def stop_s(self) -> float:
        """How long systemd lets a stop take."""
        return self.grace_s + STOP_EXTENSION_S


def text(wanted: Wanted, systemd: Systemd, *, linger_is_ours: bool = False) -> str:
    """Return the unit file.

    Args:
        wanted: what is to run.
        systemd: what is to run it.
        linger_is_ours: whether lingering is to go off again when the service goes.

    Raises:
        UnwritableWord: a word, path or variable has no spelling in a unit file.
    """
    parts = [
        [MARKER, *([LINGER_MARKER] if linger_is_ours else [])],
        ["# Run that again to change it; `lamella-node service uninstall` removes it."],
        ["", "[Unit]", "Description=Lamella host: layers of language models for a swarm"],
        # It is worth trying for ever, but ever more rarely.
        ["StartLimitIntervalSec=0"],
        ["", "[Service]", *_life(wanted, systemd)],
        ["", *_manners(wanted)],
        ["", *_ALWAYS, *(_sandbox(wanted) if systemd.sandbox else [])],
        ["", "[Install]", "WantedBy=default.target", ""],
    ]
    return "\n".join(one for part in parts for one in part)


def sandbox(wanted: Wanted) -> tuple[str, ...]:
    """Return the lines of the sandbox for `wanted` as settings of a transient unit, to be tried.

    Those have no specifiers, so a percent sign is not doubled. Raises `UnwritableWord`.
    """
    return tuple(one.replace("%%", "%") for one in _sandbox(wanted))


def _life(wanted: Wanted, systemd: Systemd) -> Iterator[str]:
    program, *words = wanted.command
    yield "Type=notify"
    yield "NotifyAccess=main"
    yield f"ExecStart=:{' '.join([word(program), *map(word, words)])}"
    if wanted.kill is not None:
        yield f"ExecReload={word(wanted.kill)} -HUP $MAINPID"
    # The minus: when the folder is gone, the host still starts, and says itself what it misses.
    yield f"WorkingDirectory=-{line(str(wanted.folder))}"
    for name, value in wanted.environment:
        yield f"Environment={word(f'{name}={value}')}"
    for kind, folder in (("Cache", wanted.cache), ("Runtime", wanted.runtime)):
        if folder is not None:
            yield f"{kind}Directory={path_word(folder)}"
            yield f"{kind}DirectoryMode=0700"
    if wanted.runtime is not None:
        # Other programs of Lamella have their sockets there, too.
        yield "RuntimeDirectoryPreserve=yes"
    yield "SyslogIdentifier=lamella-node"
    yield "Restart=on-failure"
    yield f"RestartPreventExitStatus={_WRONG_USAGE}"
    if systemd.version >= _BACK_OFF_VERSION:
        yield f"RestartSec={_seconds(wanted.restart_s)}"
        yield "RestartSteps=8"
        yield f"RestartMaxDelaySec={_seconds(wanted.restart_max_s)}"
    else:
        yield f"RestartSec={_seconds(max(wanted.restart_s, min(_PLAIN_RESTART_S, wanted.restart_max_s)))}"
    yield f"TimeoutStartSec={_seconds(_START_S)}"
    yield f"TimeoutStopSec={_seconds(wanted.stop_s)}"
    yield f"TimeoutAbortSec={_seconds(_ABORT_S)}"
    yield f"WatchdogSec={_seconds(wanted.watchdog_s)}"
    yield "KillMode=mixed"


def _manners(wanted: Wanted) -> Iterator[str]:
    yield f"Nice={wanted.nice}"
    yield "CPUWeight=50"
    yield "IOWeight=50"
    yield "OOMScoreAdjust=500"
    yield "OOMPolicy=stop"
    if wanted.memory_max_bytes is not None:
        yield f"MemoryMax={wanted.memory_max_bytes}"
    yield "LimitNOFILE=16384"
    yield "TasksMax=1024"
    # A dump of its memory would hold the key, and what people asked.
    yield "LimitCORE=0"


def _sandbox(wanted: Wanted) -> Iterator[str]:
    yield from SANDBOX
    if not wanted.devices:
        yield "PrivateDevices=yes"
    if wanted.private_tmp:
        yield "PrivateTmp=yes"
    else:
        yield "ReadWritePaths=-/tmp -/var/tmp"
    yield from (f"ReadWritePaths={path_word(str(path))}" for path in wanted.writable)
    yield from (f"InaccessiblePaths={path_word(f'-{path}')}" for path in wanted.hidden)


def _seconds(value: float) -> str:
    """A time span as systemd reads it: to the millisecond, with its unit."""
    return f"{round(value * 1000)}ms" if value % 1 else f"{round(value)}s"
