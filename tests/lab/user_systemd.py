"""A real systemd of an unprivileged user, beside whatever runs this machine: in namespaces of mounts and cgroups.

It believes that systemd runs the machine, has a home and a login session of its own, and is gone at the end with all
that it started. What the user needs of this tree and of Python is made reachable when folders on the way are closed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SYSTEMD: Final = Path("/lib/systemd/systemd")
UID: Final = 61_999
HOME: Final = Path("/run/home/lamella")
"""Neither below a shared temporary folder nor anywhere that the machine has."""
RUNTIME: Final = Path(f"/run/user/{UID}")
_COMMAND_S: Final = 180.0
"""The longest install of a real host on a machine that is busy otherwise."""
_START_S: Final = 20.0
_TOOLS: Final = ("unshare", "nsenter", "setpriv", "mount", "systemctl", "systemd-run")

_OUTER: Final = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/cgroups /run/kept /run/systemd/system /run/systemd/unit-root
mount -t cgroup2 none /run/cgroups
mkdir /run/cgroups/$GROUP
echo $$ > /run/cgroups/$GROUP/cgroup.procs
exec unshare --cgroup --mount --propagation private sh -c "$INNER"
"""
_INNER: Final = """
set -e
umount /run/cgroups
mkdir -p /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
chown -R $ID:$ID /sys/fs/cgroup
$OPEN
mkdir -p $RUNTIME $HOME_ $HOME_/.ssh
echo secret > $HOME_/.ssh/key
chown -R $ID:$ID $RUNTIME $HOME_
chmod 700 $RUNTIME $HOME_
exec setpriv --reuid $ID --regid $ID --clear-groups env -i HOME=$HOME_ USER=lamella \
    PATH=/usr/local/bin:/usr/bin:/bin XDG_RUNTIME_DIR=$RUNTIME $SYSTEMD --user --log-target=console --log-level=info
"""
_CLEAR: Final = """
mount -t tmpfs tmpfs /run
mkdir /run/cgroups
mount -t cgroup2 none /run/cgroups
[ -d /run/cgroups/$GROUP ] || exit 0
echo 1 > /run/cgroups/$GROUP/cgroup.kill
for _ in $(seq 100); do
    find /run/cgroups/$GROUP -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d /run/cgroups/$GROUP ] || exit 0
    sleep 0.05
done
exit 1
"""


def why_not() -> str | None:
    """Why no such systemd can be started here; None when it can."""
    if os.geteuid() != 0:
        return "a systemd of another user can be started by root only"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing or not SYSTEMD.exists():
        return f"not installed: {', '.join(missing) or SYSTEMD} (Debian: apt-get install systemd util-linux)"
    tried = subprocess.run(
        ["unshare", "--mount", "--cgroup", "sh", "-c", "mount -t tmpfs t /mnt && mount -t cgroup2 c /mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        None if tried.returncode == 0 else f"this machine does not allow namespaces: {tried.stderr.strip()}"
    )


def needs_user_systemd() -> list[pytest.MarkDecorator]:
    """Marks for a module of tests under a real user's systemd: its group, and when it is skipped, why."""
    reason = why_not()
    return [pytest.mark.lab, pytest.mark.skipif(reason is not None, reason=reason or "")]


@dataclass(frozen=True, slots=True)
class UserSystemd:
    """A running systemd of a user."""

    pid: int

    def command(self, *words: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program as that user, in that login session."""
        told = {"HOME": str(HOME), "USER": "lamella", "XDG_RUNTIME_DIR": str(RUNTIME), "LC_ALL": "C.UTF-8"}
        told |= {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"} | environ
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--cgroup", f"--wd={cwd}"]
        become = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "env", "-i"]
        return subprocess.run(
            [*enter, *become, *(f"{name}={value}" for name, value in told.items()), *words],
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )

    def said(self, *words: str) -> str:
        """Run a program that has to succeed; return what it prints."""
        done = self.command(*words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def at_home(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this tree as that user does, from their home."""
        return self.command("sh", "-c", 'cd && exec "$@"', "sh", *words, PYTHONPATH=str(ROOT))

    def bring(self, source: Path, place: Path) -> None:
        """Copy a folder to where only that user's session sees it, and make it that user's."""
        inside = Path(f"/proc/{self.pid}/root")
        shutil.copytree(source, inside / place.relative_to("/"))
        above = [one for one in place.parents if one.is_relative_to(HOME) and one != HOME]
        self._give([inside / one.relative_to("/") for one in (place, *above)])

    def write(self, path: Path, text: str) -> None:
        """Write a file of that user."""
        self.said("sh", "-c", 'mkdir -p "${1%/*}" && printf %s "$2" > "$1"', "sh", str(path), text)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.said("systemctl", "--user", "show", unit, f"--property={name}", "--value").strip()

    def read(self, path: Path) -> str:
        """A file of that user."""
        return self.said("cat", str(path))

    def read_json(self, path: Path) -> Any:
        """What a file of that user says in JSON."""
        return json.loads(self.read(path))

    @staticmethod
    def _give(paths: list[Path]) -> None:
        subprocess.run(["chown", "-R", f"{UID}:{UID}", *map(str, paths)], check=True)

    def files(self) -> set[str]:
        """All that lies in the user's home and session but for what systemd makes for itself."""
        own = ("-path", f"{RUNTIME}/systemd/inaccessible", "-prune", "-o")
        found = self.said("find", str(HOME), str(RUNTIME), "-mindepth", "1", *own, "-print").split("\n")
        return {one for one in found if one and "/systemd/units/" not in one}


@contextmanager
def user_systemd(log: Path) -> Iterator[UserSystemd]:
    """Start one; everything is gone afterwards."""
    group = f"lamella-lab-{os.getpid()}-{time.monotonic_ns()}"
    inner = (
        _INNER.replace("$OPEN", _opened())
        .replace("$ID", str(UID))
        .replace("$RUNTIME", str(RUNTIME))
        .replace("$HOME_", str(HOME))
        .replace("$SYSTEMD", str(SYSTEMD))
    )
    environ = {"PATH": os.environ["PATH"], "GROUP": group, "INNER": inner}
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _OUTER],
            env=environ,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
    try:
        manager = UserSystemd(process.pid)
        deadline = time.monotonic() + _START_S
        while (
            manager.command("systemctl", "--user", "is-system-running", cwd=Path("/")).stdout.strip()
            != "running"
        ):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield manager
    finally:
        process.kill()
        process.wait()
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _CLEAR],
            env=environ,
            check=True,
            timeout=30,
        )


def _opened() -> str:
    """Commands that make this tree and its Python reachable for everyone."""
    needed = {ROOT, (ROOT / ".venv").resolve(), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    closed: dict[Path, list[Path]] = {}
    for path in sorted(needed):
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & 0o001:
                closed.setdefault(folder, []).append(path)
                break
    lines: list[str] = []
    for folder, paths in closed.items():
        kept = [f"/run/kept/{len(lines)}-{at}" for at in range(len(paths))]
        lines += [
            f"mkdir -p {one}; mount --rbind {path} {one}" for one, path in zip(kept, paths, strict=True)
        ]
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {folder}")
        lines += [
            f"mkdir -p {path}; mount --rbind {one} {path}" for one, path in zip(kept, paths, strict=True)
        ]
    return "\n".join(lines)
