#!/usr/bin/env bash
# Makes .venv in this tree and installs Lamella and its tools into it. Run it any time: it changes nothing when nothing
# changed, finishes what an interrupted run left, and waits for another run to end.
#
# A run vouches for its result with a stamp, written last. Without a matching stamp the packages are installed again; an
# environment that a run began and did not finish, or that was made for another folder, is made anew.
# PYTHON names the interpreter to use; by default the first suitable one is found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
venv=$root/.venv
stamp=$venv/.provisioned
unfinished=$venv/.unfinished
log=$venv/provision.log
torch=torch==2.13.0
needed_mib=2500
# Most modules of torch and transformers are never imported, so byte code is made at the end, for those that are.
pip_options=(--disable-pip-version-check --no-input --no-compile --progress-bar off)

fail() {
    printf 'provision: %s\n' "$*" >&2
    exit 1
}

say() { printf 'provision: %s\n' "$*"; }

# What the stamp must say: what was asked for, by which interpreter, for which folder.
wanted() {
    local version
    version=$("$venv/bin/python" -I -c 'import sys; print(sys.version, sys.prefix)' 2>/dev/null) || return 1
    printf '%s\n%s\n' "$version" "$(cat pyproject.toml constraints.txt scripts/provision.sh | sha256sum)"
}

current() {
    local want
    [[ -f $stamp ]] && want=$(wanted) && [[ $(<"$stamp") == "$want" ]] && [[ $want == *" $venv"$'\n'* ]]
}

current && exit 0

exec 9<"$root"
if command -v flock >/dev/null && ! flock --nonblock 9; then
    say "waiting for another run in this folder"
    flock 9
    current && exit 0
fi

# An interpreter that is new enough and can make environments; python3.11 first, the version all checks run on.
find_python() {
    local candidate found="" without_venv="" candidates=(python3.11 python3 python3.12 python3.13 python3.14)
    [[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        [[ $(command -v "$candidate") == "$venv"/* ]] && continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            found=$candidate
            break
        fi
        without_venv=$candidate
    done
    if [[ -n $found ]]; then
        printf '%s\n' "$found"
    elif [[ -n $without_venv ]]; then
        fail "$without_venv has no venv module; install it (Debian and Ubuntu: apt install python3-venv) and run this again."
    else
        fail "Python 3.11 or newer was not found; install it, or name it as in PYTHON=/path/to/python3.11 scripts/provision.sh."
    fi
}

free_mib() { df -Pm "$root" | awk 'NR == 2 { print $4 }'; }

# install WORDS ARGS...: pip install, its output in the log; on a terminal the last line of it is shown as it goes.
install() {
    local what=$1 start=$SECONDS
    shift
    say "installing $what ..."
    if ! "$venv/bin/python" -m pip install "${pip_options[@]}" "$@" 2>&1 | follow; then
        if grep -q 'No space left on device' "$log"; then
            fail "the disk is full; free about $needed_mib MiB and run this again."
        fi
        printf '%s\n' "--- the end of $log" >&2
        tail -n 15 "$log" >&2
        fail "pip could not install $what; the lines above say why."
    fi
    say "installed $what in $((SECONDS - start)) s"
}

follow() {
    local line width=${COLUMNS:-80}
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        [[ -t 1 ]] && printf '\r\033[K  %s' "${line:0:width-4}"
    done
    [[ -t 1 ]] && printf '\r\033[K'
    return 0
}

trap 'printf "\nprovision: interrupted; run it again to finish.\n" >&2; exit 130' INT TERM

began=$SECONDS
if [[ -e $unfinished ]] || ! "$venv/bin/python" -I -m pip --version >/dev/null 2>&1 ||
    [[ $("$venv/bin/python" -I -c 'import sys; print(sys.prefix)') != "$venv" ]] ||
    ! head -n 2 "$venv/bin/pip" 2>/dev/null | grep -qF "$venv/"; then
    python=$(find_python)
    if [[ -e $venv ]]; then
        say "making .venv anew: the one that is there is not whole, or belongs to another folder"
        rm -rf "$venv"
    fi
    if (($(free_mib) < needed_mib)); then
        fail "$needed_mib MiB of disk are needed in $root and $(free_mib) MiB are free."
    fi
    mkdir "$venv"
    : >"$unfinished"
    say "making .venv with $("$python" -V) ($python)"
    "$python" -m venv "$venv" >"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "$python could not make an environment; the lines above say why."
    }
fi
: >"$unfinished"
rm -f "$stamp"
: >"$log"

# torch by itself and first, so that a wheel built for this machine's CPU is taken where one is offered.
install "torch, the largest part" "$torch"
# A new pip resolves the rest in half the time; setuptools is here so that building Lamella's own package needs no
# second, isolated environment from the network.
install "pip and setuptools" --constraint constraints.txt pip setuptools
install "lamella, its libraries and tools" --constraint constraints.txt --no-build-isolation --editable ".[dev]"

say "compiling what the programs import ..."
compiling=$SECONDS
# A machine may forbid Python to write byte code, which then would be made again by every process.
if ! env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -m scripts.warm_up >>"$log" 2>&1; then
    tail -n 15 "$log" >&2
    fail "what was installed does not run on this machine; the lines above say why."
fi
say "compiled it in $((SECONDS - compiling)) s"

rm -f "$unfinished"
wanted >"$stamp"
say "ready in $((SECONDS - began)) s: .venv/bin/lamella and .venv/bin/lamella-node"
