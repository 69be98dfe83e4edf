#!/usr/bin/env bash
# What a cluster of daemons does, against what the simulator says of the same workload.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cluster-lib.sh"

bench_cluster_usage() {
    cat <<'EOF'
usage: ./dev bench cluster [--nodes N] [--seconds S] [--seeds K]

Runs N daemons (3, at most 16) with model hypervisors for S seconds (60), whose guests send each other money and which take a basic
checkpoint every 2 s or so. Then lets the simulator say, from the phases that they measured, how many checkpoints each node was forced
to take and how long its guests stood still:
  recorded    the messages and basic checkpoints of the trace, in their order
  parametric  as many nodes that send each other messages at random, at the measured rate and interval; means of K seeds (10)
Prints measured over predicted by node; JSON in artifacts/bench/cluster.json. Needs no root.
EOF
}

seconds=60 seeds=10
while (($# > 0)); do
    case $1 in
        --nodes | --seconds | --seeds)
            [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || usage_error "bench cluster: $1 needs a number"
            printf -v "${1#--}" '%s' "$2"
            shift
            ;;
        -h | --help) bench_cluster_usage; exit 0 ;;
        *) bench_cluster_usage >&2; usage_error "bench cluster: $1 is not known" ;;
    esac
    shift
done
((nodes >= 2 && nodes <= 16)) || usage_error "bench cluster: --nodes is $nodes; allowed is 2 to 16"
need build
cd "$REPO"
mkdir -p artifacts
build_cluster
OUT=$REPO/artifacts/bench/cluster
rm -rf "$OUT"
mkdir -p "$OUT"
folder=$(mktemp -d)
trap tidy EXIT
trap 'exit 130' INT TERM HUP
keep='"all"'
configure
say "$nodes daemons with $guests guests each, $seconds seconds"
for ((i = 0; i < nodes; i++)); do start "$i"; done
serving
settle
for ((i = 0; i < nodes; i++)); do
    "$XTLCTL" events --json --after 0 --socket "$folder/${names[i]}.sock" >"$OUT/${names[i]}.events" 2>/dev/null </dev/null &
    pids+=($!)
done
sleep "$seconds"
traces=()
for ((i = 0; i < nodes; i++)); do
    kill -TERM "${pids[i]}"
    wait "${pids[i]}" || true
    pids[i]=''
    traces+=("$OUT/${names[i]}.trace")
done
"$XTLSIM" merge "${traces[@]}" --out "$OUT/run.trace"
"$XTLSIM" merge "${traces[@]}" --out "$OUT/run.jsonl"
"$XTLSIM" check "$OUT/run.trace" >"$OUT/check"
say "the simulator"
python3 "$REPO/scripts/bench-cluster.py" "$XTLSIM" "$OUT" "$REPO/artifacts/bench/cluster.json" "$seeds" "${names[@]}"
