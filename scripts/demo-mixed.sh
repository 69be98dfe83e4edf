#!/usr/bin/env bash
# A host as hosts are: guests that can be saved beside guests that cannot, and what the latter cost the former.
# usage: demo-mixed.sh MINUTES
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

((EUID == 0)) || die "the lab makes network namespaces and device nodes: run './dev demo --mixed' as root"
need build lab
export XTL_LAB=${XTL_LAB:-mixed}
MINUTES=$1
OUT=$REPO/artifacts/mixed
# In the Dom0.
FOLDER=/var/tmp/xtl-mixed
SOCKET=$FOLDER/control.sock
COVERED=(mixed-pvh-1 mixed-pvh-2 mixed-pv)
OTHERS=(mixed-hvm mixed-paused mixed-hung)
# A step a second in each guest leaves most of the node's one processor to the others.
LOAD=(stepper.period=1000 stepper.pages=512 stepper.write=32)

lab() { "$REPO/dev" lab "$@" </dev/null; }
dom0() { lab exec 1 -- "$@"; }
judge() { python3 "$REPO/scripts/demo-mixed.py" "$@"; }

start_daemon() {
    dom0 bash -c 'mkdir -p "$0" && cat >"$0/config.json" <<JSON
{ "node": "mixed", "store": "$0/store", "state": "$0/state", "controlSocket": "$1", "basicInterval": "10s", "basicJitter": 0,
  "suspendTimeout": "20s", "keep": "all" }
JSON
        setsid xtlckptd --config "$0/config.json" >"$0/log" 2>&1 </dev/null &
        for ((i = 0; i < 120; i++)); do xtlctl node --socket "$1" &>/dev/null && break; sleep 1; done
        ((i < 120)) || { cat "$0/log" >&2; exit 1; }
        setsid xtlctl events --json --after 0 --socket "$1" >"$0/events" 2>"$0/events.error" </dev/null &' "$FOLDER" "$SOCKET"
}

create_covered() {
    lab guest 1 create "${COVERED[0]}" "${LOAD[@]}"
    lab guest 1 create "${COVERED[1]}" "${LOAD[@]}"
    lab guest 1 create "${COVERED[2]}" --type pv "${LOAD[@]}"
}

create_others() {
    lab guest 1 create "${OTHERS[0]}" --type hvm "${LOAD[@]}"
    lab guest 1 create "${OTHERS[1]}" "${LOAD[@]}"
    dom0 xl pause "${OTHERS[1]}"
    # Linux without what answers a request to suspend, as one that hangs (drivers/xen/manage.c).
    lab guest 1 create "${OTHERS[2]}" "${LOAD[@]}" initcall_blacklist=xen_setup_shutdown_event
}

destroy() {
    local guest
    for guest in "$@"; do lab guest 1 destroy "$guest"; done
}

taken() { dom0 bash -c 'grep -c "\"checkpointTaken\"" "$0/events" || true' "$FOLDER"; }
last_step() { lab guest 1 log "$1" | tr -d '\r' | awk '$1 == "step" { n = $2 } END { print n + 0 }'; }

# stretch NAME SECONDS: lets the daemon work for so long, and notes which checkpoints that were. One that began before the
# guests were as they are now does not count. On a busy machine it takes longer: a figure needs three.
stretch() {
    local first until
    first=$(($(taken) + 1))
    until (($(taken) >= first)); do sleep 2; done
    until=$((SECONDS + $2))
    while ((SECONDS < until || $(taken) < first + 3)); do
        sleep 5
        echo "$(($(taken) - first)) checkpoints, $((until > SECONDS ? until - SECONDS : 0)) s left"
    done
    echo "$1 $first $(taken)" >>"$OUT/stretches"
}

# collect: what the judge needs.
collect() {
    dom0 cat "$FOLDER/events" >"$OUT/events"
    dom0 cat "$FOLDER/log" >"$OUT/log"
    dom0 xtlctl checkpoints --json --socket "$SOCKET" >"$OUT/checkpoints"
}

# come_back ID: the guests that are covered go, come back from a checkpoint, and judge themselves.
come_back() {
    local guest lines
    for guest in "${COVERED[@]}"; do
        lab guest 1 log "$guest" >"$OUT/$guest.before"
        dom0 xl destroy "$guest"
    done
    dom0 xtlctl restore --socket "$SOCKET" "$1"
    for guest in "${COVERED[@]}"; do
        lines=$(wc -l <"$OUT/$guest.before")
        for ((i = 0; i < 60; i++)); do
            sleep 2
            lab guest 1 log "$guest" | tail -n "+$((lines + 1))" >"$OUT/$guest.after"
            (($(grep -ac '^step ' "$OUT/$guest.after" || true) <= 5)) || break
        done
        judge restored "$guest" "$OUT/$guest.before" "$OUT/$guest.after"
    done
}

mkdir -p "$OUT"
rm -f "$OUT"/*
trap 'XTL_LAB=$XTL_LAB "$REPO/dev" lab down' EXIT
lab up
lab push
progress "two PVH guests and a PV guest" "$OUT/covered.log" create_covered
# Before the daemon is at work: a device model that competes with it for the emulated processor boots its guest for ever.
progress "an HVM guest (some minutes), a paused one and one that hangs" "$OUT/others.log" create_others
progress "starting xtlckptd, which takes a checkpoint every 10 s" "$OUT/start.log" start_daemon
before=("$(last_step "${OTHERS[0]}")" "$(last_step "${OTHERS[2]}")")
progress "checkpoints with all six" "$OUT/with.log" stretch with "$((MINUTES * 60))"
dom0 xl list
for i in 0 1; do
    guest=${OTHERS[2 * i]} after=$(last_step "${OTHERS[2 * i]}")
    ((after > before[i])) || die "$guest stands still at step $after"
    echo "$guest runs: from step ${before[i]} to $after"
done
progress "taking the last three away" "$OUT/away.log" destroy "${OTHERS[@]}"
progress "checkpoints without them" "$OUT/without.log" stretch without "$((MINUTES * 60))"
collect
judge checkpoints "$OUT" --covered "${COVERED[@]}" --others "${OTHERS[0]}=kind" "${OTHERS[1]}=paused" "${OTHERS[2]}=no-answer"
say "back to the last checkpoint that was taken with all six"
come_back "$(judge last "$OUT")"
echo "demo: OK"
