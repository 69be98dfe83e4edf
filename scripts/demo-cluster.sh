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
# How long the banks send before the power fails; an emulated host is slow.
RUN_S=${XTL_DEMO_RUN_S:-60}
# Recoveries of both hosts before that, each after the daemon of one of them was killed.
RECOVERIES=${1:-0}

trap 'XTL_LAB=$XTL_LAB "$REPO/dev" lab down' EXIT
lab() { "$REPO/dev" lab "$@"; }
dom0() { lab exec "$1" -- "${@:2}" </dev/null; }
# An emulated host that shares its processors takes its time to start a program.
cluster() { dom0 1 xtlctl cluster "$@" --cluster /etc/xtlckpt/cluster.json --timeout 3m; }

configure() {
    local n=$1 cluster=$2
    dom0 "$n" bash -c 'mkdir -p /etc/xtlckpt /srv/shared/traces; cat >/etc/xtlckpt/xtlckptd.json <<JSON
{
  "node": "node$0", "clusterId": "$1", "shared": "/srv/shared", "trace": "/srv/shared/traces/node$0.trace",
  "nodes": [{"name": "node1", "address": "10.77.1.1:7400"}, {"name": "node2", "address": "10.77.2.1:7400"}],
  "listen": "10.77.$0.1:7400", "controlListen": "10.77.$0.1:7401", "bridge": "xtlbr0",
  "basicInterval": "$2", "suspendTimeout": "1m"
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

# report NODE GUEST: "balance sent received unacknowledged" of the last line that a bank printed.
report() { lab guest "$1" log "$2" </dev/null | awk '$1 == "bank" { print $4, $6, $8, $10 }' | tail -n 1; }

# conserved NODE: what a bank has received was sent before, and what is acknowledged was received: no transfer came out of an
# undone past, and none is lost. The first look is older than the second.
conserved() {
    local one two later_one later_two b1 s1 r1 u1 b2 s2 r2 u2
    one=$(report 1 bank-1) two=$(report "$1" bank-2)
    sleep 3
    later_one=$(report 1 bank-1) later_two=$(report "$1" bank-2)
    read -r b1 s1 r1 u1 <<<"$one"
    read -r b2 s2 r2 u2 <<<"$two"
    read -r _ later_s1 later_r1 _ <<<"$later_one"
    read -r _ later_s2 later_r2 _ <<<"$later_two"
    ((b1 == MONEY_EACH + r1 - s1 && b2 == MONEY_EACH + r2 - s2)) || return 1
    ((r1 <= later_s2 && r2 <= later_s1 && s1 - u1 <= later_r2 && s2 - u2 <= later_r1)) || return 1
    echo "bank-1 has $b1, bank-2 has $b2, of $((2 * MONEY_EACH)) in all; $u1 and $u2 on their way at most"
}

# moving NODE: waits until both banks have received more than before.
moving() {
    local before1 before2 now1 now2 i
    read -r _ _ before1 _ <<<"$(report 1 bank-1)"
    read -r _ _ before2 _ <<<"$(report "$1" bank-2)"
    for ((i = 0; i < 60; i++)); do
        sleep 2
        read -r _ _ now1 _ <<<"$(report 1 bank-1)"
        read -r _ _ now2 _ <<<"$(report "$1" bank-2)"
        ((${now1:-0} <= ${before1:-0} || ${now2:-0} <= ${before2:-0})) || return 0
    done
    return 1
}

# rolled_back N: a daemon is killed at a random moment, with its guardian or without, and both hosts go back to a line.
rolled_back() {
    local victim=$((1 + RANDOM % 2)) oldest=-o
    ((RANDOM % 2)) || oldest=''
    sleep "$((RANDOM % 20))"
    say "recovery $1 of $RECOVERIES: the daemon of node$victim is killed"
    dom0 "$victim" bash -c "pkill -KILL $oldest -x xtlckptd; while pgrep -x xtlckptd >/dev/null; do sleep 0.2; done"
    start_daemon "$victim"
    cluster recover
    moving 2 || die "the banks do not go on"
    conserved 2 || die "money was made or lost in the recovery"
    whole 1 bank-1 || die "bank-1 found something broken"
    whole 2 bank-2 || die "bank-2 found something broken"
}

whole() { ! lab guest "$1" log "$2" </dev/null | grep -a BROKEN; }

mkdir -p "$OUT"
lab up --nodes 2
lab push
id=$(</proc/sys/kernel/random/uuid)
for n in 1 2; do configure "$n" "$id"; done
for n in 1 2; do start_daemon "$n"; done
say "guests"
lab guest 1 create bank-1 --bridge xtlbr0 --app bank bank.id=0 bank.peers=1@10.77.2.2 bank.period=20 </dev/null
lab guest 2 create bank-2 --bridge xtlbr0 --app bank bank.id=1 bank.peers=0@10.77.1.2 bank.period=20 </dev/null
moving 2 || die "the banks do not reach each other through the daemons"
say "the banks send each other money for $RUN_S s; basic checkpoints every ${BASIC[0]} and ${BASIC[1]}"
sleep "$RUN_S"
dom0 1 grep -a "Checkpoint" /var/log/xtlckptd.log | sed 's/^/node1: /' | tail -n 8
dom0 2 grep -a "Checkpoint" /var/log/xtlckptd.log | sed 's/^/node2: /' | tail -n 8
cluster status
conserved 2 || die "money was made or lost"
for ((i = 1; i <= RECOVERIES; i++)); do rolled_back "$i"; done
lab kill 2
sleep 3
cluster recover --lost node2 --to node1
# The same again changes nothing.
cluster recover --lost node2
moving 1 || die "the banks do not go on"
conserved 1 || die "money was made or lost in the recovery"
for guest in bank-1 bank-2; do whole 1 "$guest" || die "$guest found something broken"; done
dom0 1 xl list
dom0 1 bash -c 'pkill -TERM -x xtlckptd; while pgrep -x xtlckptd >/dev/null; do sleep 0.2; done'
for trace in node1.trace node2.trace node1.trace.node2; do dom0 1 cat "/srv/shared/traces/$trace" >"$OUT/$trace"; done
"$REPO/dev" sim merge "$OUT"/node[12].trace "$OUT/node1.trace.node2" --failed "$OUT/node2.trace" --out "$OUT/run.trace"
"$REPO/dev" sim check "$OUT/run.trace"
dotnet run --no-build -c Release --project "$REPO/src/xtlctl" -- cluster timeline "$OUT/run.trace" --names node1 node2 --out "$OUT/run.svg"
say "the run as a picture: artifacts/cluster/run.svg"
echo "demo: OK"
