#!/usr/bin/env bash
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
    -h | --help)
        cat <<'EOF'
usage: ./dev bench [NAME]

Runs the micro-benchmarks, or those whose name contains NAME. Each prints ratios against a baseline of the same run;
tables and JSON land in artifacts/bench.
EOF
        exit 0
        ;;
esac
(($# <= 1)) || usage_error "bench takes one NAME"
need build
cd "$REPO"
dotnet run --project benchmarks/Benchmarks.csproj -c Release -- \
    --filter "*${1:-}*" --artifacts artifacts/bench --exporters json
