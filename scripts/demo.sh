#!/usr/bin/env bash
# The main job from end to end: guests under load, a chain of checkpoints, the guests gone, and back.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

demo_usage() {
    cat <<'EOF'
usage: ./dev demo [--model]

Boots a Xen host in an emulator (as root; some minutes the first time), starts two PVH guests and a PV guest that rewrite
their memory all the time, takes a first checkpoint and five increments of all of them together, destroys the guests, and
restores two different checkpoints one after the other. The guests tell themselves whether their memory is of one moment.
Last, one image is exported and brought back by Xen's own 'xl restore'. The last line is 'demo: OK'.
  --model   the same on a model of a hypervisor inside one process, in seconds and without root
EOF
}

GUESTS=(demo-a demo-b demo-pv)
STORE=/var/lib/xtl-demo
PLACES=(--store "$STORE/store" --state "$STORE/state")

dom0() { "$REPO/dev" lab exec 1 -- "$@"; }
guest_log() { "$REPO/dev" lab guest 1 log "$1"; }
last_step() { guest_log "$1" | grep -a '^step' | tail -n 1 | cut -d' ' -f2; }

# goes_on GUEST LINE...: waits until the guest has printed more steps than LINE lines, and that it is whole.
goes_on() {
    local guest=$1 lines=$2 i steps
    for ((i = 0; i < 120; i++)); do
        steps=$(guest_log "$guest" | tail -n "+$((lines + 1))" | grep -a -c '^step' || true)
        ((steps >= 5)) && break
        sleep 1
    done
    ((steps >= 5)) || die "$guest does not go on"
    if guest_log "$guest" | grep -a BROKEN; then die "$guest found its memory broken"; fi
    echo "$guest goes on at step $(guest_log "$guest" | tail -n "+$((lines + 1))" | grep -a '^step' | head -n 1 | cut -d' ' -f2), now $(last_step "$guest"); whole"
}

destroy_all() {
    local guest
    for guest in "${GUESTS[@]}"; do dom0 xl destroy "$guest" 2>/dev/null || true; done
}

# restore CHECKPOINT: brings all guests back from it.
restore() {
    local guest lines=()
    say "restoring checkpoint $1"
    for guest in "${GUESTS[@]}"; do lines+=("$(guest_log "$guest" | wc -l)"); done
    dom0 xtlctl restore "${PLACES[@]}" "$1"
    for ((i = 0; i < ${#GUESTS[@]}; i++)); do goes_on "${GUESTS[i]}" "${lines[i]}"; done
}

box_demo() {
    local guest lines
    ((EUID == 0)) || die "the lab makes network namespaces and device nodes: run './dev demo' as root, or './dev demo --model'"
    export XTL_LAB=demo
    trap 'XTL_LAB=demo "$REPO/dev" lab down' EXIT
    "$REPO/dev" lab up
    "$REPO/dev" lab push
    say "starting ${#GUESTS[@]} guests"
    for guest in "${GUESTS[@]}"; do
        local type=pvh
        [[ $guest != *-pv ]] || type=pv
        "$REPO/dev" lab guest 1 create "$guest" --type "$type" stepper.pages=1024 stepper.write=32 stepper.period=100
    done
    say "a first checkpoint and five increments of all guests together"
    dom0 xtlctl watch "${PLACES[@]}" --every 2s --count 6
    dom0 xtlctl checkpoints "${PLACES[@]}"
    dom0 xtlctl verify "${PLACES[@]}"
    say "destroying the guests, at steps $(for guest in "${GUESTS[@]}"; do last_step "$guest"; done | xargs)"
    destroy_all
    restore 3
    destroy_all
    restore latest
    say "exporting ${GUESTS[0]} for Xen's own tools"
    dom0 xtlctl export "${PLACES[@]}" --xl "$STORE/demo.xl" 2 "${GUESTS[0]}"
    destroy_all
    lines=$(guest_log "${GUESTS[0]}" | wc -l)
    dom0 xl restore "$STORE/demo.xl"
    goes_on "${GUESTS[0]}" "$lines"
    echo "demo: OK"
}

model=''
while (($# > 0)); do
    case $1 in
        --model) model=1 ;;
        -h | --help) demo_usage; exit 0 ;;
        *) demo_usage >&2; usage_error "demo: $1 is not known" ;;
    esac
    shift
done
if [[ -n $model ]]; then
    need build
    cd "$REPO"
    exec dotnet run --project src/xtldemo/xtldemo.csproj -c Release
fi
need build lab
box_demo
