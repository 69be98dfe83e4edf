#!/usr/bin/env bash
# What the way of frames between nodes carries, against ways without the daemon.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

channel_usage() {
    cat <<'EOF'
usage: ./dev bench channel [--rounds R] [--seconds S] [--ways WAY,...] [--profile]
       ./dev bench channel --piggyback [--rounds R] [--seconds S]
       ./dev bench channel --against CHECKOUT [--rounds R] [--seconds S]
       ./dev bench channel --messages

Between two guests (network namespaces), each behind the bridge of a node of its own: TCP throughput, UDP packets a second of 64 and
1,400 octets, and round trips of one octet, R rounds (3) of all ways in turn, S seconds (4) for each figure:
  kernel       the two bridges joined by a cable
  socat        a tap in each bridge, and socat between them over TCP, which keeps no bounds of frames
  socat-udp    the same over UDP, a frame a datagram
  bare         two daemons whose batches carry no index, and check none
  daemon       two daemons
  checkpoints  two daemons that take a basic checkpoint each second
Prints medians, the spread, and ratios of one round; JSON in artifacts/bench/channel.json. As root; it takes R * 1.5 minutes.
  --ways       only these
  --profile    where the processors spend their time on the way 'daemon', by perf
  --piggyback  what the index costs, finer: both 'bare' and 'daemon' stand ready side by side, and TCP goes through one and the
               other in turn, eight times each, before both are started anew; R times (10). Prints the mean ratio and
               its 95% interval over the R starts; JSON in artifacts/bench/channel-piggyback.json
  --against    the same of the daemons of CHECKOUT, another tree of this project that is built ('other'), and this tree's
               ('daemon'), round trips included; JSON in artifacts/bench/channel-against.json
  --messages   what a batch costs in gRPC alone, both ends in one process: octets that are allocated, and time
EOF
}

BIN=bin/Release/net10.0/linux-x64
WIRE=10.213.0 GUESTS=10.213.1
# Eight namespaces for two ways side by side; base is where those of the one at hand begin.
pids=() here=() folder='' spaces=() base=0
declare -A carriers=()

# spawn CMD...: starts it, to be ended with the script.
spawn() { "$@" </dev/null & pids+=($!); }

# end PID...: ends what was started here.
end() {
    local pid
    for pid in "$@"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "$@"; do
        for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

tidy() {
    local space
    local both
    read -ra both <<<"${carriers[*]}"
    end "${here[@]}" "${both[@]}" "${pids[@]}"
    for space in "${spaces[@]}"; do ip netns del "$space" 2>/dev/null || true; done
    [[ -z $folder ]] || rm -rf "$folder"
}

# within SPACE CMD...: in a network namespace; the process is CMD itself.
within() { local space=$1; shift; exec ip netns exec "$space" "$@"; }

network() {
    local i=0 side
    for side in na nb ga gb; do
        side=$side$base
        ip netns add "xtl-$side-$$"
        spaces+=("xtl-$side-$$")
        ip netns exec "xtl-$side-$$" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
        ip -n "xtl-$side-$$" link set lo up
    done
    ip link add wire netns "${spaces[base + 0]}" type veth peer name wire netns "${spaces[base + 1]}"
    ip link add cable netns "${spaces[base + 0]}" type veth peer name cable netns "${spaces[base + 1]}"
    for i in 0 1; do
        ip -n "${spaces[base + i]}" addr add "$WIRE.$((i + 1))/24" dev wire
        ip -n "${spaces[base + i]}" link set wire up
        ip -n "${spaces[base + i]}" link add guests type bridge
        ip -n "${spaces[base + i]}" link set guests up
        ip link add eth0 netns "${spaces[base + i + 2]}" type veth peer name guest netns "${spaces[base + i]}"
        ip -n "${spaces[base + i]}" link set guest master guests up
        ip -n "${spaces[base + i]}" link set cable master guests
        ip -n "${spaces[base + i + 2]}" addr add "$GUESTS.$((i + 1))/24" dev eth0
        ip -n "${spaces[base + i + 2]}" link set eth0 up
    done
}

configure() {
    local i name interval=$1
    rm -rf "$folder/nodes$base"
    mkdir -p "$folder/nodes$base"
    for i in 0 1; do
        name=$([[ $i == 0 ]] && echo a || echo b)
        cat >"$folder/nodes$base/$name.json" <<EOF
{
  "node": "$name", "clusterId": "$(</proc/sys/kernel/random/boot_id)", "listen": "$WIRE.$((i + 1)):7400",
  "nodes": [{"name": "a", "address": "$WIRE.1:7400"}, {"name": "b", "address": "$WIRE.2:7400"}],
  "bridge": "guests", "tap": "xtl0", "store": "$folder/nodes$base/$name.store", "state": "$folder/nodes$base/$name.state",
  "controlSocket": "$folder/nodes$base/$name.sock", "basicInterval": "$interval", "staging": "16M",
  "hypervisor": "model", "model": {"tap": true, "guests": 1, "memory": "16M", "stepsPerSecond": 20}
}
EOF
    done
    echo "{\"nodes\": {\"a\": \"$folder/nodes$base/a.sock\", \"b\": \"$folder/nodes$base/b.sock\"}}" >"$folder/nodes$base/cluster.json"
}

xtlctl() { "$REPO/src/xtlctl/$BIN/xtlctl" "$@"; }
linked() { [[ $(xtlctl cluster status --cluster "$folder/nodes$base/cluster.json" 2>/dev/null | awk '$NF == "1/1"' | wc -l) == 2 ]]; }
reach() { ip netns exec "${spaces[base + 2]}" "$BENCH" channel-ask "$GUESTS.2:7502" 0 >/dev/null 2>&1; }

# await WHAT CMD...: tries CMD for a minute.
await() {
    local what=$1 until=$((SECONDS + 60))
    shift
    until "$@"; do
        ((SECONDS < until)) || die "$what did not come about in a minute; logs are in $RAW"
        sleep 0.2
    done
}

# begin WAY: sets it up; here has the processes that carry the frames.
begin() {
    local i program=("$REPO/src/xtlckptd/$BIN/xtlckptd" --config)
    here=()
    case $1 in
        kernel) for i in 0 1; do ip -n "${spaces[base + i]}" link set cable up; done ;;
        socat | socat-udp)
            local tun="TUN,tun-type=tap,iff-no-pi,tun-name=tap0,iff-up"
            if [[ $1 == socat ]]; then
                within "${spaces[base + 1]}" socat "TCP-LISTEN:7500,bind=$WIRE.2,nodelay" "$tun" </dev/null & here+=($!)
                sleep 0.5
                within "${spaces[base + 0]}" socat "TCP:$WIRE.2:7500,retry=20,interval=0.2,nodelay" "$tun" </dev/null & here+=($!)
            else
                for i in 0 1; do
                    within "${spaces[base + i]}" socat "UDP:$WIRE.$((2 - i)):7500,bind=$WIRE.$((i + 1)):7500" "$tun" </dev/null & here+=($!)
                done
            fi
            for i in 0 1; do await "socat's tap" ip -n "${spaces[base + i]}" link set tap0 master guests 2>>"$RAW/log"; done
            ;;
        *)
            [[ $1 != bare ]] || program=("$BENCH" channel-daemon)
            [[ $1 != other ]] || program=("$against/src/xtlckptd/$BIN/xtlckptd" --config)
            configure "$([[ $1 == checkpoints ]] && echo 1s || echo off)"
            for i in a b; do
                within "${spaces[base + $([[ $i == a ]] && echo 0 || echo 1)]}" "${program[@]}" "$folder/nodes$base/$i.json" \
                    >>"$RAW/$1.log" 2>&1 </dev/null & here+=($!)
            done
            await "the link of the daemons" linked
            # From here on batches carry an index above 0.
            [[ $1 == bare ]] || xtlctl checkpoint --socket "$folder/nodes$base/a.sock" >/dev/null
            ;;
    esac
    await "a connection between the guests" reach
}

finish() {
    local i
    for i in 0 1; do ip -n "${spaces[base + i]}" link set cable down; done
    end "${here[@]}"
    here=()
}

# seconds: of processor time that the processes of the way have had.
spent() {
    local pid
    for pid in "${here[@]}"; do awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat"; done |
        awk -v hz="$(getconf CLK_TCK)" '{ s += $1 } END { printf "%.2f\n", s / hz }'
}

# iperf FILE OPTION...: bounded in time; a failure is in FILE.
iperf() {
    local file=$1
    shift
    timeout "$((seconds + 20))" ip netns exec "${spaces[base + 2]}" iperf3 -c "$GUESTS.2" -p 7501 -t "$seconds" -J "$@" >"$file" || true
}

measure() {
    local at=$RAW/$1.$2 before taken
    # A second for compilers, windows and caches.
    timeout 20 ip netns exec "${spaces[base + 2]}" iperf3 -c "$GUESTS.2" -p 7501 -t 2 >/dev/null || true
    before=$(spent)
    iperf "$at.tcp"
    awk -v a="$before" -v b="$(spent)" 'BEGIN { printf "%.2f\n", b - a }' >"$at.cpu"
    iperf "$at.udp64" -u -b 0 -l 64
    iperf "$at.udp1400" -u -b 0 -l 1400
    timeout "$((seconds + 20))" ip netns exec "${spaces[base + 2]}" "$BENCH" channel-ask "$GUESTS.2:7502" "$seconds" >"$at.rr" || true
    if [[ $2 == checkpoints ]]; then
        taken=$(xtlctl node --socket "$folder/nodes$base/a.sock" | sed -n 's/.*index \([0-9]*\),.*/\1/p')
        echo "$taken" >"$at.checkpoints"
    fi
}

# write_profile: samples the two daemons under TCP. The runtime tells perf the names of compiled code.
write_profile() {
    local pid
    export DOTNET_PerfMapEnabled=1 DOTNET_EnableWriteXorExecute=0
    begin daemon
    timeout 20 ip netns exec "${spaces[base + 2]}" iperf3 -c "$GUESTS.2" -p 7501 -t 5 >/dev/null || true
    perf record -q -F 497 -g -p "$(IFS=,; echo "${here[*]}")" -o "$folder/perf.data" -- sleep "$seconds" >/dev/null 2>&1 &
    iperf "$folder/profiled"
    wait $!
    perf script -i "$folder/perf.data" -F comm,ip,sym,dso 2>/dev/null >"$RAW/stacks"
    for pid in "${here[@]}"; do rm -f "/tmp/perf-$pid.map" "/tmp/perfinfo-$pid.map"; done
    finish
    python3 scripts/bench-channel-profile.py "$RAW/stacks" artifacts/bench/channel-profile.json
}

# through WAY NAME: TCP through the way at hand, into NAME.WAY.tcp and .cpu.
through() {
    local before
    before=$(spent)
    iperf "$RAW/$2.$1.tcp"
    awk -v a="$before" -v b="$(spent)" 'BEGIN { printf "%.2f\n", b - a }' >"$RAW/$2.$1.cpu"
    [[ $1 != other && $3 != other ]] ||
        timeout "$((seconds + 20))" ip netns exec "${spaces[base + 2]}" "$BENCH" channel-ask "$GUESTS.2:7502" 1 >"$RAW/$2.$1.rr" || true
}

# pairs FIRST JSON: the way FIRST and the way daemon side by side.
pairs() {
    local start turn way order first=$1
    for ((start = 1; start <= rounds; start++)); do
        say "start $start of $rounds"
        for way in "$first" daemon; do
            [[ $way == "$first" ]] && base=0 || base=4
            begin "$way"
            carriers[$way]=${here[*]}
            timeout 20 ip netns exec "${spaces[base + 2]}" iperf3 -c "$GUESTS.2" -p 7501 -t 4 >/dev/null || true
        done
        for ((turn = 1; turn <= 8; turn++)); do
            ((turn % 2)) && order="$first daemon" || order="daemon $first"
            for way in $order; do
                [[ $way == "$first" ]] && base=0 || base=4
                read -ra here <<<"${carriers[$way]}"
                through "$way" "$start.$turn" "$first"
            done
        done
        read -ra here <<<"${carriers[$first]} ${carriers[daemon]}"
        end "${here[@]}"
        here=() carriers=()
    done
    python3 scripts/bench-channel-pairs.py "$RAW" "$first" "$2"
}

rounds='' seconds='' ways='kernel socat socat-udp bare daemon checkpoints' profile='' piggyback='' against='' messages=''
while (($# > 0)); do
    case $1 in
        --rounds | --seconds)
            [[ ${2:-} =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "bench channel: $1 needs a number"
            if [[ $1 == --rounds ]]; then rounds=$2; else seconds=$2; fi
            shift
            ;;
        --ways) ways=${2//,/ }; shift ;;
        --profile) profile=1 ;;
        --piggyback) piggyback=1 ;;
        --messages) messages=1 ;;
        --against)
            against=$(realpath -e -- "${2:?bench channel: --against needs a directory}")
            [[ -x $against/src/xtlckptd/$BIN/xtlckptd ]] || die "$against has no daemon that is built: run './dev build' there"
            piggyback=1
            shift
            ;;
        -h | --help) channel_usage; exit 0 ;;
        *) channel_usage >&2; usage_error "bench channel: $1 is not known" ;;
    esac
    shift
done
: "${rounds:=$([[ -n $piggyback ]] && echo 10 || echo 3)}" "${seconds:=$([[ -n $piggyback ]] && echo 2 || echo 4)}"
if [[ -n $messages ]]; then
    need build
    dotnet build "$REPO/benchmarks" -c Release -v quiet --nologo
    exec "$REPO/benchmarks/$BIN/XenTwoLevelCkpt.Benchmarks" channel-messages
fi
((EUID == 0)) || die "network namespaces and taps are made: run './dev bench channel' as root"
[[ -c /dev/net/tun ]] || die "there is no /dev/net/tun: load the kernel's module tun"
[[ -z $profile ]] || command -v perf >/dev/null || die "--profile needs perf (the package linux-perf)"
need build net
cd "$REPO"
mkdir -p artifacts/bench
for project in src/xtlckptd src/xtlctl benchmarks; do
    progress "building $project" artifacts/build-bench.log dotnet build "$project" -c Release -v quiet --nologo
done
BENCH=$REPO/benchmarks/$BIN/XenTwoLevelCkpt.Benchmarks RAW=$REPO/artifacts/bench/channel
rm -rf "$RAW"
mkdir -p "$RAW"
folder=$(mktemp -d)
trap tidy EXIT
trap 'exit 130' INT TERM HUP
for base in 0 ${piggyback:+4}; do
    network
    spawn ip netns exec "${spaces[base + 3]}" iperf3 -s -p 7501 >/dev/null
    spawn ip netns exec "${spaces[base + 3]}" "$BENCH" channel-serve "$GUESTS.2:7502"
done
base=0
if [[ -n $piggyback ]]; then
    if [[ -n $against ]]; then
        pairs other artifacts/bench/channel-against.json
    else
        pairs bare artifacts/bench/channel-piggyback.json
    fi
    exit
fi
for ((round = 1; round <= rounds; round++)); do
    for way in $ways; do
        say "round $round of $rounds: $way"
        begin "$way"
        measure "$round" "$way"
        finish
    done
done
"$BENCH" channel-report "$RAW"
[[ -z $profile ]] || write_profile
