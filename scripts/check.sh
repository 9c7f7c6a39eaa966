#!/usr/bin/env bash
# Every check, then every test. A failed check does not hide the later ones; the exit status is 0 only when all passed
# and at least one test ran. Words given here go to pytest: scripts/check.sh tests/wire -x
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

bin=.venv/bin
sources=(crypto wire node chat scripts tests)
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=()

# stage NAME COMMAND...: run it, print how long it took, and its output when it fails.
stage() {
    local name=$1 start=$EPOCHREALTIME verdict=ok
    shift
    "$@" >"$output" 2>&1 || {
        verdict=FAILED
        failed+=("$name")
    }
    awk -v name="$name" -v verdict="$verdict" -v from="$start" -v to="$EPOCHREALTIME" \
        'BEGIN { printf "%-8s %-6s %6.1f s\n", name, verdict, to - from }'
    [[ $verdict == ok ]] || sed 's/^/    /' "$output"
}

shell_syntax() {
    local script status=0
    while IFS= read -r -d '' script; do
        bash -n "$script" || status=1
    done < <(find scripts .ci \( -name '*.sh' -o -path '.ci/run' \) -type f -print0)
    return "$status"
}

export LC_ALL=C.UTF-8
stage format "$bin/ruff" format --check "${sources[@]}"
stage lint "$bin/ruff" check --output-format concise "${sources[@]}"
stage types "$bin/mypy" "${sources[@]}"
stage layers "$bin/lint-imports" --no-cache --no-logo
stage mirror "$bin/python" -m scripts.check_mirror
stage specs "$bin/python" -m scripts.check_specs
stage style "$bin/python" -m scripts.check_style
stage shell shell_syntax

# A process of tests for each core, up to four; each computes on one thread, so that they do not stand in each other's way.
cores=$(nproc 2>/dev/null || echo 2)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
"$bin/python" -m pytest -q -n "$((cores < 4 ? cores : 4))" --dist worksteal -rsxX --durations=10 --durations-min=2 \
    "$@" 2>&1 | tee "$output"
if ((PIPESTATUS[0] != 0)); then
    failed+=(tests)
elif ! tail -n 1 "$output" | grep -Eq '[1-9][0-9]* passed'; then
    printf 'no test ran\n'
    failed+=(tests)
fi
((${#failed[@]} == 0)) || {
    printf 'failed: %s\n' "${failed[*]}" >&2
    exit 1
}
