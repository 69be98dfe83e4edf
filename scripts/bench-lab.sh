# shellcheck shell=bash
# Shared by the benchmarks that run in the lab: set-up, and what turns lists of figures into one.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PLACES=(--store /var/lib/xtl-bench/store --state /var/lib/xtl-bench/state)
export PLACES

# begin_bench NAME [ROUNDS]: reads the number of rounds, five by default, and boots a lab of the benchmarks' own, which ends
# with the script. Sets rounds and json.
begin_bench() {
    rounds=${2:-5}
    [[ $rounds =~ ^[1-9][0-9]*$ ]] || usage_error "ROUNDS is a number"
    ((EUID == 0)) || die "the lab makes network namespaces and device nodes: run './dev bench $1' as root"
    need build lab
    mkdir -p "$REPO/artifacts/bench"
    json=$REPO/artifacts/bench/$1.json
    export XTL_LAB=bench rounds json
    trap 'XTL_LAB=bench "$REPO/dev" lab down' EXIT
    "$REPO/dev" lab up
    "$REPO/dev" lab push
}

dom0() { "$REPO/dev" lab exec 1 -- "$@"; }

# median LIST: of the numbers in it, or - where there is none.
median() { tr ' ' '\n' <<<"$1" | sort -n | awk '/^[0-9.]+$/ { a[++n] = $1 } END { if (n) print a[int((n + 1) / 2)]; else print "-" }'; }

# ratio A B: A over B, or - where one of them is.
ratio() { if [[ $1 == - || $2 == - ]]; then echo -; else awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; fi; }
