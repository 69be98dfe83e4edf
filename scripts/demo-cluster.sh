#!/usr/bin/env bash
# Two Xen hosts whose guests send each other money; one host loses its power, and its guests go on on the other.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need build lab
export XTL_LAB=${XTL_LAB:-cluster}
OUT=$REPO/artifacts/cluster
# What every bank has at its start (lab/guest/bank.c).
MONEY_EACH=64000
BASIC=(10s 17s)
# How long the banks send before the first failure; an emulated host is slow.
RUN_S=${XTL_DEMO_RUN_S:-60}
# Recoveries in all.
RECOVERIES=${1:-1}
# Decides when what fails.
SEED=${XTL_DEMO_SEED:-$RANDOM}

trap 'XTL_LAB=$XTL_LAB "$REPO/dev" lab down' EXIT
lab() { "$REPO/dev" lab "$@"; }
dom0() { lab exec "$1" -- "${@:2}" </dev/null; }

# Which host each bank is on, and the one that commands run on.
declare -A home
leader=1
# An emulated host that shares its processors takes its time to start a program.
cluster() { dom0 "$leader" xtlctl cluster "$@" --cluster /etc/xtlckpt/cluster.json --timeout 3m; }

configure() {
    local n=$1 cluster=$2
    dom0 "$n" bash -c 'mkdir -p /etc/xtlckpt /srv/shared/traces; cat >/etc/xtlckpt/xtlckptd.json <<JSON
{
  "node": "node$0", "clusterId": "$1", "shared": "/srv/shared", "trace": "/srv/shared/traces/node$0.trace",
  "nodes": [{"name": "node1", "address": "10.77.1.1:7400"}, {"name": "node2", "address": "10.77.2.1:7400"}],
  "listen": "10.77.$0.1:7400", "controlListen": "10.77.$0.1:7401", "bridge": "xtlbr0",
  "basicInterval": "$2", "suspendTimeout": "1m", "backgroundShare": 1
}
JSON
echo "{\"nodes\": {\"node1\": \"10.77.1.1:7401\", \"node2\": \"10.77.2.1:7401\"}}" >/etc/xtlckpt/cluster.json' \
        "$n" "$cluster" "${BASIC[n - 1]}"
}

start_daemon() {
    dom0 "$1" bash -c 'setsid xtlckptd >/var/log/xtlckptd.log 2>&1 </dev/null &
        for ((i = 0; i < 120; i++)); do xtlctl node >/dev/null 2>&1 && exit; sleep 1; done
        cat /var/log/xtlckptd.log >&2; exit 1'
}

# report BANK: "balance sent received unacknowledged transfers" of the last line that it printed.
report() { lab guest "${home[$1]}" log "$1" </dev/null | awk '{ sub(/\r$/, "") } $1 == "bank" { print $4, $6, $8, $10, $14 }' | tail -n 1; }

# conserved: what a bank has received was sent before, and what is acknowledged was received: no transfer came out of an
# undone past, and none is lost. The first look is older than the second.
conserved() {
    local one two later_one later_two b1 s1 r1 u1 b2 s2 r2 u2
    one=$(report bank-1) two=$(report bank-2)
    sleep 3
    later_one=$(report bank-1) later_two=$(report bank-2)
    read -r b1 s1 r1 u1 _ <<<"$one"
    read -r b2 s2 r2 u2 _ <<<"$two"
    read -r _ later_s1 later_r1 _ <<<"$later_one"
    read -r _ later_s2 later_r2 _ <<<"$later_two"
    ((b1 == MONEY_EACH + r1 - s1 && b2 == MONEY_EACH + r2 - s2)) || return 1
    ((r1 <= later_s2 && r2 <= later_s1 && s1 - u1 <= later_r2 && s2 - u2 <= later_r1)) || return 1
    echo "bank-1 has $b1, bank-2 has $b2, of $((2 * MONEY_EACH)) in all; $u1 and $u2 on their way at most"
}

# moving: waits until both banks have received more than before.
moving() {
    local before1 before2 now1 now2 i
    read -r _ _ before1 _ <<<"$(report bank-1)"
    read -r _ _ before2 _ <<<"$(report bank-2)"
    for ((i = 0; i < 60; i++)); do
        sleep 2
        read -r _ _ now1 _ <<<"$(report bank-1)"
        read -r _ _ now2 _ <<<"$(report bank-2)"
        ((${now1:-0} <= ${before1:-0} || ${now2:-0} <= ${before2:-0})) || return 0
    done
    return 1
}

whole() { ! lab guest "${home[$1]}" log "$1" </dev/null | grep -a BROKEN; }

# go_on: after a recovery.
go_on() {
    local bank
    moving || die "the banks do not go on"
    conserved || die "money was made or lost in the recovery"
    for bank in bank-1 bank-2; do whole "$bank" || die "$bank found something broken"; done
}

# roll_back N: a daemon is killed at a random moment, with its guardian or without, and both hosts go back to a line.
roll_back() {
    local victim=$((1 + RANDOM % 2)) oldest=-o
    ((RANDOM % 2)) || oldest=''
    sleep "$((RANDOM % 20))"
    say "recovery $1 of $RECOVERIES: the daemon of node$victim is killed"
    dom0 "$victim" bash -c "pkill -KILL $oldest -x xtlckptd; while pgrep -x xtlckptd >/dev/null; do sleep 0.2; done"
    start_daemon "$victim"
    cluster recover
    go_on
}

# lose N: a host loses its power at a random moment, and its guests go on on the other; the run's traces are judged.
lose() {
    local lost=$((1 + RANDOM % 2)) trace credited
    leader=$((3 - lost))
    sleep "$((RANDOM % 20))"
    say "recovery $1 of $RECOVERIES: node$lost loses its power"
    lab kill "$lost"
    sleep 3
    home=([bank-1]=$leader [bank-2]=$leader)
    cluster recover --lost "node$lost" --to "node$leader"
    # The same again changes nothing.
    cluster recover --lost "node$lost"
    go_on
    dom0 "$leader" xl list
    credited=$(($(report bank-1 | cut -d' ' -f5) + $(report bank-2 | cut -d' ' -f5)))
    transfers=$((transfers + credited))
    echo "the banks have taken $credited transfers of each other"
    dom0 "$leader" bash -c 'pkill -TERM -x xtlckptd; while pgrep -x xtlckptd >/dev/null; do sleep 0.2; done'
    for trace in node1.trace node2.trace "node$leader.trace.node$lost"; do
        dom0 "$leader" cat "/srv/shared/traces/$trace" >"$OUT/$trace"
    done
    "$REPO/dev" sim merge "$OUT"/node[12].trace "$OUT/node$leader.trace.node$lost" --failed "$OUT/node$lost.trace" --out "$OUT/run.trace"
    "$REPO/dev" sim check "$OUT/run.trace"
    "$REPO/artifacts/publish/bin/xtlctl" cluster timeline "$OUT/run.trace" --names node1 node2 --out "$OUT/run.svg"
    say "the run as a picture: artifacts/cluster/run.svg"
}

create_bank() {
    lab guest "$1" create "bank-$1" --bridge xtlbr0 --app bank "bank.id=$(($1 - 1))" "bank.peers=$((2 - $1))@10.77.$((3 - $1)).2" \
        bank.period=20 </dev/null
}

# on_both COMMAND: for each host, side by side.
on_both() {
    local n pids=()
    for n in 1 2; do
        "$1" "$n" &
        pids+=("$!")
    done
    for n in "${pids[@]}"; do wait "$n"; done
}

# begin [PUSH-OPTION]: two hosts, a daemon and a bank on each.
begin() {
    local n id
    id=$(</proc/sys/kernel/random/uuid)
    leader=1
    home=([bank-1]=1 [bank-2]=2)
    lab up --nodes 2
    lab push "$@"
    for n in 1 2; do configure "$n" "$id"; done
    on_both start_daemon
    say "guests"
    on_both create_bank
    moving || die "the banks do not reach each other through the daemons"
    say "the banks send each other money for $RUN_S s; basic checkpoints every ${BASIC[0]} and ${BASIC[1]}"
    sleep "$RUN_S"
    for n in 1 2; do dom0 "$n" grep -a "Checkpoint" /var/log/xtlckptd.log | sed "s/^/node$n: /" | tail -n 8; done
    cluster status
    conserved || die "money was made or lost"
}

RANDOM=$SEED
transfers=0 survived=0
mkdir -p "$OUT"
say "seed $SEED"
begin
for ((i = 1; i <= RECOVERIES; i++)); do
    # One in five takes a host; the last one does in any case.
    if ((i < RECOVERIES && RANDOM % 5 != 0)); then
        roll_back "$i"
        survived=$((survived + 1))
        continue
    fi
    lose "$i"
    survived=$((survived + 1))
    if ((i < RECOVERIES)); then
        lab down
        begin --as-it-is
    fi
done
# bash leaves a loop at an error in arithmetic, and goes on behind it.
((survived == RECOVERIES)) || die "the run ended after $survived of $RECOVERIES recoveries"
echo "$survived recoveries; transfers between the hosts that count in the end: $transfers"
echo "demo: OK"
