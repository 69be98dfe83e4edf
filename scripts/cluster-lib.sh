# shellcheck shell=bash
# A cluster of daemons with model hypervisors on this machine, for who sources this: traces and logs in OUT.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pids=() folder='' names=()
BIN=bin/Release/net10.0/linux-x64
DAEMON=$REPO/src/xtlckptd/$BIN/xtlckptd XTLCTL=$REPO/src/xtlctl/$BIN/xtlctl XTLSIM=$REPO/simulation/xtlsim/$BIN/xtlsim

# What configure makes of each daemon; the caller may set them otherwise.
nodes=3 interval=2s keep=16 guests=2 steps=10

build_cluster() {
    local project
    for project in src/xtlckptd src/xtlctl simulation/xtlsim; do
        progress "building $(basename "$project")" artifacts/build-cluster.log \
            dotnet build "$project" -c Release -v quiet --nologo
    done
}

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
  "trace": "$OUT/${names[i]}.trace", "basicInterval": "$interval", "keep": $keep, "staging": "16M", "hypervisor": "model",
  "model": {"guests": $guests, "workload": "bank", "memory": "8M", "stepsPerSecond": $steps}
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
