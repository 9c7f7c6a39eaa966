#!/usr/bin/env bash
# From a bare clone to a verdict: makes the environment, then runs every check and every test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/provision.sh
exec make --no-print-directory check
