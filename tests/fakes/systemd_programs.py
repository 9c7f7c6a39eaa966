"""`systemctl`, `journalctl`, `loginctl` and `systemd-run` as programs on a PATH, over a state of small files.

As much of systemd as `node.service` asks for, and whatever goes wrong on demand. They are shell scripts, since tests
call them hundreds of times and a Python would take longer to start than to answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

NAMES: Final = ("systemctl", "journalctl", "loginctl", "systemd-run")
_SEPARATOR: Final = "\x1f"
_PROGRAM: Final = r"""#!/bin/sh
program=${0##*/} state=${0%/bin/*}/state
get() { REPLY=$2; [ ! -f "$state/$1" ] || IFS= read -r REPLY <"$state/$1" || :; }
put() { printf '%s\n' "$2" >"$state/$1"; }
separator=$(printf '\037')
line=$program verb= name=
for word; do
    line=$line$separator$word
    case $word in -*) continue ;; esac
    if [ -z "$verb" ]; then verb=$word; elif [ -z "$name" ]; then name=$word; fi
done
printf '%s\n' "$line" >>"$state/asked"
case $program in journalctl | systemd-run) verb=$program ;; esac
[ ! -f "$state/hang-$verb" ] || exec /bin/sleep 600
if [ -f "$state/refuse-$verb" ]; then
    get "refuse-$verb"
    printf '%s\n' "$REPLY" >&2
    exit 1
fi
get units; units=$REPLY
get start ready; start=$REPLY
get active inactive; active=$REPLY
get runs 0; runs=$REPLY
get loaded; loaded=$REPLY
file=$units/lamella-node.service
case $program-$verb in
systemctl-show)
    if [ -z "$name" ]; then get version; printf '%s\n' "$REPLY"; exit; fi
    load=not-found enabled= sub=running result=success status=0 restarts=0 pid=0 run=
    [ -z "$loaded" ] || load=loaded enabled=enabled
    [ "$runs" = 0 ] || run=run$runs
    [ "$active" != active ] || pid=4711
    [ "$active-$start" != activating-loops ] || sub=auto-restart restarts=1
    if [ "$sub" = auto-restart ] || [ "$active" = failed ]; then
        result=exit-code
        get status 1; status=$REPLY
    fi
    get text; text=$REPLY
    get stop_usec 20s; stop_usec=$REPLY
    printf '%s\n' "LoadState=$load" LoadError= "FragmentPath=$loaded" DropInPaths= "ActiveState=$active" \
        "SubState=$sub" "UnitFileState=$enabled" "InvocationID=$run" "Result=$result" ExecMainCode=1 \
        "ExecMainStatus=$status" "NRestarts=$restarts" "MainPID=$pid" "MemoryCurrent=[not set]" "StatusText=$text" \
        "TimeoutStopUSec=$stop_usec" StateChangeTimestampMonotonic=1000000 ActiveEnterTimestampMonotonic=1000000
    ;;
systemctl-daemon-reload)
    loaded=
    if [ -f "$file" ] && [ ! -f "$state/deaf" ]; then loaded=$file; fi
    put loaded "$loaded"
    ;;
systemctl-enable)
    /bin/mkdir -p "$units/default.target.wants"
    /bin/ln -sf "$file" "$units/default.target.wants/"
    ;;
systemctl-start | systemctl-restart)
    put runs $((runs + 1))
    case $start in ready) put active active ;; fails) put active failed ;; *) put active activating ;; esac
    ;;
systemctl-stop) if [ -f "$state/stuck" ]; then put active deactivating; else put active inactive; fi ;;
loginctl-show-user) get linger no; printf '%s\n' "$REPLY" ;;
loginctl-enable-linger) put linger yes ;;
loginctl-disable-linger) put linger no ;;
journalctl-*) [ ! -f "$state/lines" ] || /bin/cat "$state/lines" ;;
esac
exit 0
"""


class FakeSystemd:
    """A folder of programs, and what they do.

    Its state: `start` is what becomes of a host: `ready`, `fails`, `loops` or `slow`; `refuse-VERB` holds the
    complaint that a verb ends with; `hang-VERB`: it never answers; `stuck`: hosts do not stop; `deaf`: files are not
    taken; `lines` are the journal's; `loaded`, `active`, `linger`, `text`, `status`, `version`, `stop_usec` are what
    is shown.
    """

    def __init__(self, folder: Path, units: Path) -> None:
        self.folder = folder
        self.path = folder / "bin"
        self._state = folder / "state"
        self.path.mkdir(parents=True)
        self._state.mkdir()
        for name in NAMES:
            (self.path / name).write_text(_PROGRAM)
            (self.path / name).chmod(0o755)
        self.set(units=str(units), version="252 (252.38-1)")

    def set(self, **values: str) -> None:
        """Change how it behaves."""
        for name, value in values.items():
            (self._state / name).write_text(f"{value}\n")

    def refuse(self, verb: str, complaint: str) -> None:
        """Let a verb fail."""
        self.set(**{f"refuse-{verb}": complaint})

    def hang(self, *verbs: str) -> None:
        """Let verbs never answer."""
        self.set(**{f"hang-{verb}": "" for verb in verbs})

    def get(self, name: str) -> str:
        """What it has become."""
        return (self._state / name).read_text().rstrip("\n")

    def asked(self) -> list[list[str]]:
        """The words of every call so far."""
        file = self._state / "asked"
        return [line.split(_SEPARATOR) for line in file.read_text().splitlines()] if file.exists() else []

    def environ(self, **more: str) -> dict[str, str]:
        """An environment in which these programs are the only ones."""
        return {"PATH": str(self.path), "XDG_RUNTIME_DIR": str(self.folder / "run"), **more}
