#!/usr/bin/env bash
# Takes the lab down: killing PID 1 of its namespaces makes the kernel end the emulators and everything they held.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    cat <<'EOF'
usage: ./dev lab down

Ends all nodes of the lab. The images stay; what the nodes wrote to their disks is dropped.
EOF
    exit 0
fi
(($# == 0)) || usage_error "lab down takes no arguments"
need_root
if lab_alive; then
    keeper=$(read_pid "$RUN/keeper.pid")
    kill -KILL "$keeper"
    # PID 1 of a namespace is gone only after everything in it is.
    tail --pid="$keeper" -f /dev/null
    while lab_alive; do sleep 0.1; done
    say "lab '$LAB_NAME' is down"
fi
rm -rf "${RUN:?}"
