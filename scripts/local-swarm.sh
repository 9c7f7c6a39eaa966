#!/usr/bin/env bash
# A whole Lamella swarm on this machine. `scripts/local-swarm.sh demo` shows it; `--help` tells the rest.
# Installs what is missing into .venv first (scripts/provision.sh), then becomes scripts/swarm.py.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Installing runs in a session of its own, so that whatever ends this script can end all of it, pip included.
setsid "$root/scripts/provision.sh" </dev/null &
provisioning=$!
stop() {
    trap '' INT TERM HUP
    kill -TERM -- "-$provisioning" 2>/dev/null || kill -TERM "$provisioning" 2>/dev/null || true
    wait "$provisioning" 2>/dev/null || true
    exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop 129' HUP
wait "$provisioning"
trap - INT TERM HUP

PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$root/.venv/bin/python" -P -m scripts.swarm "$@"
