#!/usr/bin/env bash
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
    -h | --help)
        cat <<'EOF'
usage: ./dev bench [NAME]

Runs all benchmarks, or the one that is named:
  cache     window and written pages by pattern and cache size, against no cache (no time is measured)
  capture   copy in the window against memcpy; background against LZ4 on all cores; bytes allocated
  lz4       K4os against liblz4, compressing and decompressing, by processor time
  scale     node checkpoints of 1, 8 and 64 domains, and of one of 64 GiB: pause and memory
  store     octets written over those of the increments, size of the store and of a restore, by load (no time is measured)
  pause     in the lab, as root: how long a guest stands still for a checkpoint, for 'xl save -c' and for 'xl remus'
  host      in the lab, as root: a guest's own work during a first full checkpoint over its work without one
  restore   in the lab, as root: restores of a full checkpoint and of a chain against 'xl restore'
  channel   as root: frames between two nodes against the kernel's bridge, socat, and daemons without an index on batches
  cluster   forced checkpoints and time lost by node in a cluster of model daemons against the simulator's prediction
  NAME      micro-benchmarks whose name contains NAME
Each prints ratios inside one run; tables and JSON land in artifacts/bench.
EOF
        exit 0
        ;;
esac
case ${1:-} in pause | restore | host | channel | cluster) exec "$REPO/scripts/bench-$1.sh" "${@:2}" ;; esac
(($# <= 1)) || usage_error "bench takes one NAME"
need build
cd "$REPO"
bench() { dotnet run --project benchmarks/Benchmarks.csproj -c Release -- "$@"; }
case ${1:-} in
    cache | capture | lz4 | scale | store) bench node "$1"; exit ;;
    '') bench node cache capture lz4 scale store ;;
esac
bench --filter "*${1:-}*" --artifacts artifacts/bench --exporters json
