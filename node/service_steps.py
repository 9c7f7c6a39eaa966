"""What `lamella-node service` does, joined: what to run and where it writes, from what the host was told."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node import keyfile, paths
from node.config import NodeConfig
from node.service.errors import FolderTooWide, NotInstalled, ServiceError, StartFailed
from node.service.installing import Service
from node.service.linger import Linger
from node.service.programs import Programs
from node.service.standing import Standing
from node.service.unit import DEFAULT_NICE, Wanted
from node.service_cli import InstallConfig, LogsConfig, ServiceConfig, StatusConfig
from node.settings import LAYERS, MODEL, SETTINGS, SLICE
from node.slices.spec import CPU
from node.status import StatusLine

_KEPT: Final = frozenset(
    {"XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    | {"HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
)
"""What the host reads of the environment it is installed from."""
_SETTINGS: Final = frozenset(name for one in (*SETTINGS, SLICE, MODEL, LAYERS) for name in one.variables)
"""What the host is told there; a key to believe lists by is no secret, whatever its name looks like."""
_OURS: Final = "LAMELLA_"
_SECRET: Final = ("TOKEN", "KEY", "SECRET", "PASSWORD")
"""What names of variables call secrets, which `systemctl show` would print."""
_PRIVATE: Final = (".ssh", ".gnupg", ".password-store", ".aws", ".kube", ".mozilla", ".local/share/keyrings")
"""What in a home nobody wants a host to read, should it ever be turned against its owner."""
_SHARED_TMP: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - named to be hidden, nothing is written there


async def run(config: ServiceConfig, status: StatusLine, service: Service | None = None) -> bool:
    """Do what was asked; whether it was done, or for `status` whether the host serves.

    Raises:
        NodeError: it could not be done.
    """
    chosen = service if service is not None else _service()
    if isinstance(config, InstallConfig):
        await _install(chosen, config, status)
        return True
    if isinstance(config, StatusConfig):
        return await _status(chosen, config, status)
    if isinstance(config, LogsConfig):
        return await chosen.logs(config.lines, follow=config.follow, as_json=config.json)
    removed = await chosen.uninstall(lambda line: status.say("waiting", line))
    gone = [str(path) for path in removed.paths]
    kept = f"the service is gone; identity and weights stay, in {paths.data_dir()}"
    sentence = kept if gone else "no service was installed"
    status.say("uninstalled", sentence, removed=gone)
    if removed.linger is not None:
        _tell_linger(removed.linger, status)
    return True


def wanted(config: NodeConfig, words: tuple[str, ...], environ: Mapping[str, str]) -> Wanted:
    """Return what the service runs, for a host that is told `words`, which mean `config`."""
    folder = Path.cwd()
    home = Path.home()
    data, cache = paths.data_dir(), paths.cache_dir()
    used = [folder, data, cache, Path(sys.prefix), *(Path(one.model).expanduser() for one in config.slices)]
    named = (config.identity_file, config.bootstrap, config.control)
    used += [folder / one for one in named if one is not None]
    # Of the words, the file of the configuration is a path as well; what is none is nobody's.
    used += [folder / one.rpartition("=")[2] for one in words]
    return Wanted(
        # -P: a folder `node` where the host starts must not be taken for ours.
        command=(sys.executable, "-P", "-m", "node", *words),
        folder=folder,
        environment=tuple(sorted((name, value) for name, value in environ.items() if _kept(name, value))),
        writable=(data, cache, *_control_folder(config, (data, cache, paths.runtime_dir()))),
        cache="lamella" if cache == home / ".cache" / "lamella" else None,
        runtime="lamella",
        hidden=tuple(home / one for one in _PRIVATE if not _holds(home / one, used)),
        private_tmp=not any(_holds(one, used) for one in _SHARED_TMP),
        devices=config.device != CPU,
        grace_s=config.grace_s,
        kill=shutil.which("kill"),
        nice=DEFAULT_NICE if config.nice is None else config.nice,
    )


def _control_folder(config: NodeConfig, writable: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folder of a control socket that is elsewhere, so that the host can make it there.

    Raises:
        FolderTooWide: all of the home would have to be writable.
    """
    if not config.controls or config.control is None:
        return ()
    folder = config.control.absolute().parent
    if any(folder.is_relative_to(one) for one in writable):
        return ()
    if Path.home().is_relative_to(folder):
        raise FolderTooWide(
            f"the service would have to write anywhere in {folder} for its control socket",
            "leave --control out, or choose a folder of its own for it",
        )
    return (folder,)


async def _install(service: Service, config: InstallConfig, status: StatusLine) -> None:
    if config.node.identity_file is not None:
        # Made here: the service may write to its own folders only, and this file can be anywhere.
        await asyncio.to_thread(keyfile.load_or_create, config.node.identity_file)
    try:
        done = await service.install(
            wanted(config.node, config.words, os.environ),
            lingers=config.linger,
            wait_s=config.wait_s,
            tell=lambda line: status.say("waiting", line),
        )
    except StartFailed as error:
        for line in error.lines:
            status.say("log", f"  {line}", line=line)
        raise
    status.say(
        "installed",
        f"the service {done.standing.text}",
        sandbox=done.sandbox,
        linger=done.linger.on,
        **done.standing.facts(),
    )
    if not done.sandbox:
        status.say(
            "unconfined",
            "this machine allows a user's services no sandbox: the host can read and write what you can",
        )
    _tell_linger(done.linger, status)


async def _status(service: Service, config: StatusConfig, status: StatusLine) -> bool:
    now = await service.look()
    if now.load_state == "not-found" and now.at_rest:
        raise NotInstalled("the service is not installed", "`lamella-node service install` does that")
    try:
        linger = await service.lingers()
    except ServiceError:
        linger = Linger(on=None)
    if config.json:
        status.say("status", "", linger=linger.on, **now.facts())
    else:
        status.print("\n".join(_lines(now, linger)))
    return now.ready


def _lines(now: Standing, linger: Linger) -> list[str]:
    lines = [f"lamella-node {now.text}"]
    if now.since is not None:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now.since))
        lines.append(f"  since     {at} ({_ago(time.time() - now.since)})")
    if now.pid is not None:
        lines.append(f"  process   {now.pid}")
    if now.memory_bytes is not None:
        lines.append(f"  memory    {now.memory_bytes / (1 << 20):.0f} MiB")
    lines.append(f"  restarts  {now.restarts}")
    lines.append(f"  start     {linger.text if now.enabled else 'by hand only'}")
    lines.append(f"  unit      {now.unit_path}")
    lines += [f"            {one}" for one in now.drop_ins]
    if now.active_state == "failed" or now.sub_state == "auto-restart":
        lines.append(f"  next      {now.why_it_ended[1]}: lamella-node service logs")
    return lines


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"


def _tell_linger(linger: Linger, status: StatusLine) -> None:
    status.say("linger", linger.text, on=linger.on, refusal=linger.refusal)


def _service() -> Service:
    return Service(Programs(), config=paths.config_dir().parent)


def _kept(name: str, value: str) -> bool:
    if name in _KEPT:
        # A proxy's address may carry a password.
        return "proxy" not in name.lower() or "@" not in value
    return name in _SETTINGS or (name.startswith(_OURS) and not any(one in name for one in _SECRET))


def _holds(folder: Path, used: list[Path]) -> bool:
    return any(one.is_absolute() and one.is_relative_to(folder) for one in used)
