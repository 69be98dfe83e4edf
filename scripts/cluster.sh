#!/usr/bin/env bash
# A cluster of daemons with model hypervisors on this machine: for demonstration, or with faults.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cluster_usage() {
    cat <<'EOF'
usage: ./dev cluster [--nodes N]
       ./dev cluster --faults [--nodes N] [--rounds R] [--seed S]

Runs N daemons (3, at most 16) with model hypervisors, whose guests send each other money, over real connections on this
machine. One daemon is killed, and the cluster is recovered; the nodes' traces are judged and drawn. It takes some seconds,
needs no root, and ends by itself; the last line is 'cluster: OK'. Traces, logs and the picture stay in artifacts/cluster.
  --faults     random faults instead, R rounds (20) of them: kills, broken links, full storage, interrupted recoveries. After
               each round the cluster has to be whole, and the banks must have all the money. The last line is 'chaos: OK'.
               What the storage does when it is full is tried as root only
  --seed S     decides the faults
EOF
}

pids=() folder=''

# tidy: ends the daemons that were started here, and nothing else.
tidy() {
    local pid
    for pid in "${pids[@]}"; do
        [[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null || true
    done
    [[ -z $folder ]] || rm -rf "$folder"
}

# start I: starts the daemon of node I.
start() {
    "$DAEMON" --config "$folder/${names[$1]}.json" >>"$OUT/${names[$1]}.log" 2>&1 </dev/null &
    pids[$1]=$!
}

# serving: waits until all daemons answer.
serving() {
    local pid
    until xtlctl cluster status >/dev/null 2>&1; do
        for pid in "${pids[@]}"; do
            kill -0 "$pid" 2>/dev/null || die "a daemon ended by itself; its log is in $OUT"
        done
        sleep 0.2
    done
}

# settle: waits until each node has its channels to all others.
settle() {
    until [[ $(xtlctl cluster status | awk -v all="$((nodes - 1))/$((nodes - 1))" '$NF == all' | wc -l) == "$nodes" ]]; do
        sleep 0.2
    done
}

configure() {
    local i list sockets=()
    # Addresses of its own, and a port below those that the system gives to connections.
    local net="127.$((1 + ($$ >> 8) % 250)).$(($$ & 255))"
    list=''
    for ((i = 0; i < nodes; i++)); do
        printf -v "names[$i]" '%b' "\\x$(printf %x $((97 + i)))"
        list+="${list:+, }{\"name\": \"${names[i]}\", \"address\": \"$net.$((i + 1)):7400\"}"
        sockets+=("\"${names[i]}\": \"$folder/${names[i]}.sock\"")
    done
    for ((i = 0; i < nodes; i++)); do
        cat >"$folder/${names[i]}.json" <<EOF
{
  "node": "${names[i]}", "clusterId": "$(</proc/sys/kernel/random/boot_id)", "nodes": [$list], "listen": "$net.$((i + 1)):7400",
  "shared": "$folder/shared", "state": "$folder/${names[i]}.state", "controlSocket": "$folder/${names[i]}.sock",
  "trace": "$OUT/${names[i]}.trace", "basicInterval": "2s", "staging": "16M", "hypervisor": "model",
  "model": {"guests": 2, "workload": "bank", "memory": "8M", "stepsPerSecond": 10}
}
EOF
    done
    local IFS=,
    echo "{\"nodes\": {${sockets[*]}}}" >"$folder/cluster.json"
}

xtlctl() {
    local command=$1
    shift
    "$XTLCTL" "$command" --cluster "$folder/cluster.json" "$@"
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

nodes=3 faults='' chaos=() names=()
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
BIN=bin/Release/net10.0/linux-x64
if [[ -n $faults ]]; then
    progress "building" artifacts/build-cluster.log dotnet build tests/Chaos/Chaos.csproj -c Release -v quiet --nologo
    exec "tests/Chaos/$BIN/XenTwoLevelCkpt.Chaos" --nodes "$nodes" "${chaos[@]}"
fi
for project in src/xtlckptd src/xtlctl simulation/xtlsim; do
    progress "building $(basename "$project")" artifacts/build-cluster.log \
        dotnet build "$project" -c Release -v quiet --nologo
done
DAEMON=$REPO/src/xtlckptd/$BIN/xtlckptd XTLCTL=$REPO/src/xtlctl/$BIN/xtlctl XTLSIM=$REPO/simulation/xtlsim/$BIN/xtlsim
demonstrate
