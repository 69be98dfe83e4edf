#!/usr/bin/env bash
# A cluster of daemons with model hypervisors on this machine: for demonstration, or with faults.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/cluster-lib.sh"

cluster_usage() {
    cat <<'EOF'
usage: ./dev cluster [--nodes N]
       ./dev cluster --faults [--nodes N] [--rounds R] [--seed S]

Runs N daemons (3, at most 16) with model hypervisors, whose guests send each other money, over real connections on this
machine. One daemon is killed, and the cluster is recovered; the nodes' traces are judged and drawn. It takes some seconds,
needs no root, and ends by itself; the last line is 'cluster: OK'. Traces, logs and the picture stay in artifacts/cluster.
  --faults     random faults instead, R rounds (20) of them: kills, nodes lost for good, broken links, full storage, interrupted
               recoveries. After each round the cluster has to be whole, and the banks must have all the money. The last line
               is 'chaos: OK'. What the storage does when it is full is tried as root only
  --seed S     decides the faults
EOF
}

demonstrate() {
    local i traces=()
    OUT=$REPO/artifacts/cluster
    rm -rf "$OUT"
    mkdir -p "$OUT"
    folder=$(mktemp -d)
    trap tidy EXIT
    configure
    say "$nodes daemons with 2 guests each"
    for ((i = 0; i < nodes; i++)); do start "$i"; done
    serving
    settle
    sleep 6
    xtlctl cluster status
    say "node b is killed (SIGKILL), its guests with it, and its daemon started anew"
    kill -KILL "${pids[1]}"
    wait "${pids[1]}" 2>/dev/null || true
    start 1
    serving
    xtlctl cluster status
    say "xtlctl cluster recover"
    xtlctl cluster recover
    settle
    sleep 4
    xtlctl cluster status
    say "the daemons end (SIGTERM)"
    for ((i = 0; i < nodes; i++)); do
        kill -TERM "${pids[i]}"
        wait "${pids[i]}"
        pids[i]=''
        traces+=("$OUT/${names[i]}.trace")
    done
    say "the traces"
    "$XTLSIM" merge "${traces[@]}" --out "$OUT/run.trace"
    "$XTLSIM" check "$OUT/run.trace"
    "$XTLCTL" cluster timeline "$OUT/run.trace" --out "$OUT/timeline.svg" --names "${names[@]}"
    echo "picture: $OUT/timeline.svg"
    echo "cluster: OK"
}

faults='' chaos=()
while (($# > 0)); do
    case $1 in
        --faults) faults=1 ;;
        --nodes | --rounds | --seed)
            [[ ${2:-} =~ ^[0-9]{1,7}$ ]] || usage_error "cluster: $1 needs a number"
            if [[ $1 == --nodes ]]; then nodes=$2; else chaos+=("$1" "$2"); fi
            shift
            ;;
        -h | --help) cluster_usage; exit 0 ;;
        *) cluster_usage >&2; usage_error "cluster: $1 is not known" ;;
    esac
    shift
done
((nodes >= 2 && nodes <= 16)) || usage_error "cluster: --nodes is $nodes; allowed is 2 to 16"
[[ -n $faults || ${#chaos[@]} == 0 ]] || usage_error "cluster: ${chaos[0]} goes with --faults"
need build
cd "$REPO"
mkdir -p artifacts
if [[ -n $faults ]]; then
    # Daemons start all the time here: compiled ahead, a round takes half as long.
    progress "building" artifacts/build-cluster.log \
        dotnet publish tests/Chaos/Chaos.csproj -c Release -p:PublishReadyToRun=true -o artifacts/chaos -v quiet --nologo
    exec artifacts/chaos/XenTwoLevelCkpt.Chaos --nodes "$nodes" "${chaos[@]}"
fi
build_cluster
demonstrate
