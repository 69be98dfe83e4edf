#!/usr/bin/env bash
# The main job from end to end: guests under load, a chain of checkpoints, the guests gone, and back.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

demo_usage() {
    cat <<'EOF'
usage: ./dev demo [--model | --cluster [--recoveries N] | --mixed [--minutes N]]

Starts two PVH guests with disks and a PV guest that rewrite their memory and disks all the time, takes a first checkpoint
and five increments of all of them together, destroys the guests, and restores two different checkpoints one after the
other. The guests tell themselves whether their memory and disk are of one moment. Last, one image is exported and brought
back by Xen's own 'xl restore'. The last line is 'demo: OK'.

In a Dom0 (as root) it uses this host: guests 'xtldemo-*', a thin pool 'xtldemo' in files under /var/tmp, all of which it
removes again. Elsewhere it boots a Xen host in an emulator (as root; some minutes the first time).
  --cluster two Xen hosts in emulators, whose guests send each other money; one is powered off, and its guests
            are brought up on the other, with every transfer accounted for. With --recoveries N there are N failures at
            random moments: mostly a daemon is killed and both hosts go back to a line; some take a host, the last one in
            any case, and two new hosts begin anew after it
  --mixed   one Xen host in an emulator with two PVH guests, a PV guest, an HVM guest, one that is paused and one that
            hangs: xtlckptd takes a checkpoint every 10 s for 10 minutes (--minutes N) and as long without the last three.
            Each checkpoint has to cover the first three and to name the others; what the others cost the first three is
            shown as the ratio of their pauses; the last checkpoint is restored
  --model   the same on a model of a hypervisor inside one process, in seconds and without root
EOF
}

in_dom0() { grep -qs control_d /proc/xen/capabilities; }

host_demo() {
    local out=$REPO/artifacts/demo
    "$REPO/dev" lab build
    mkdir -p "$out"
    progress "publishing xtlctl" "$out.log" publish "$REPO/src/xtlctl" "$out"
    "$REPO/scripts/demo-host.sh" "$out/xtlctl" "$REPO/lab/.state/cache/bookworm/guest"
}

box_demo() {
    export XTL_LAB=demo
    trap 'XTL_LAB=demo "$REPO/dev" lab down' EXIT
    # Beside the boot, which one processor does.
    mkdir -p "$REPO/artifacts"
    progress "publishing xtlctl" "$REPO/artifacts/publish-xtlctl.log" publish "$REPO/src/xtlctl" "$REPO/artifacts/publish/bin" &
    local publishing=$!
    "$REPO/dev" lab up
    wait "$publishing"
    "$REPO/dev" lab push --program xtlctl --as-it-is
    # On a host of its own a guest that ends is a failure. Here it may be the emulator's (docs/lab.md).
    local again lost=0 seen
    for again in 1 2 3; do
        in_box && return
        seen=$(guests_lost)
        ((again < 3 && seen > lost)) || return 1
        lost=$seen
        say "the emulator lost a guest (docs/lab.md); again ($again of 2)"
    done
}

in_box() {
    "$REPO/dev" lab exec 1 -- bash --norc -c "$(<"$REPO/scripts/demo-host.sh")" demo-host.sh xtlctl /var/lib/xtl-lab/guest
}

model='' cluster='' recoveries='' mixed='' minutes=''
while (($# > 0)); do
    case $1 in
        --model) model=1 ;;
        --cluster) cluster=1 ;;
        --recoveries)
            [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || usage_error "demo: --recoveries takes a number from 1 on"
            recoveries=$2
            shift
            ;;
        --mixed) mixed=1 ;;
        --minutes)
            [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || usage_error "demo: --minutes takes a number from 1 on"
            minutes=$2
            shift
            ;;
        -h | --help) demo_usage; exit 0 ;;
        *) demo_usage >&2; usage_error "demo: $1 is not known" ;;
    esac
    shift
done
[[ -z $recoveries || -n $cluster ]] || usage_error "demo: --recoveries goes with --cluster"
[[ -z $minutes || -n $mixed ]] || usage_error "demo: --minutes goes with --mixed"
[[ -z $mixed ]] || exec "$REPO/scripts/demo-mixed.sh" "${minutes:-10}"
[[ -z $cluster ]] || exec "$REPO/scripts/demo-cluster.sh" "${recoveries:-1}"
if [[ -n $model ]]; then
    need build
    cd "$REPO"
    exec dotnet run --project src/xtldemo/xtldemo.csproj -c Release
fi
((EUID == 0)) || die "guests and disks are root's business: run './dev demo' as root, or './dev demo --model'"
need build lab
if in_dom0; then host_demo; else box_demo; fi
