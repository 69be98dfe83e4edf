#!/usr/bin/env bash
# The demo inside a Dom0, with what is there: guests under load, a chain of checkpoints, the guests gone, and back.
# usage: demo-host.sh XTLCTL GUEST-DIRECTORY, the latter with vmlinuz and an initrd that has the stepper
set -euo pipefail
XTLCTL=$1 IMAGES=$2
WORK=$(mktemp -d /var/tmp/xtl-demo.XXXXXX)
PLACES=(--store "$WORK/store" --state "$WORK/state")
POOL=xtldemo
GUESTS=(xtldemo-a xtldemo-b xtldemo-pv)
declare -A consoles=()

say() { printf "==> %s s: %s\n" "$SECONDS" "$*"; }
die() { printf 'demo: error: %s\n' "$*" >&2; exit 1; }
ours() { "$XTLCTL" "${PLACES[@]}" "$@"; }

# listen GUEST: collects what a guest prints, from now until it is gone.
listen() {
    local guest=$1
    xl console "$guest" <&"$silence" >>"$WORK/$guest.log" 2>/dev/null &
    consoles[$guest]=$!
}

hang_up() {
    local guest pid
    for guest in "${!consoles[@]}"; do
        pid=${consoles[$guest]}
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    consoles=()
}

steps() { grep -a '^step ' "$WORK/$1.log" || true; }
last_step() { steps "$1" | tail -n 1 | cut -d' ' -f2; }

destroy_all() {
    local guest
    for guest in "${GUESTS[@]}"; do xl destroy "$guest" 2>/dev/null || true; done
    hang_up
}

clean_up() {
    local guest
    trap - EXIT
    destroy_all
    for guest in "${GUESTS[@]}"; do
        ours disk remove "$guest" --kept &>/dev/null || true
        ours disk remove "$guest" &>/dev/null || true
    done
    ours disk pool remove "$POOL" &>/dev/null || true
    rm -rf "$WORK"
}

start() {
    local guest=$1 type=$2 disk=${3:-}
    cat >"$WORK/$guest.cfg" <<EOF
name = "$guest"
type = "$type"
kernel = "$IMAGES/vmlinuz"
ramdisk = "$IMAGES/initrd"
memory = 96
vcpus = 1
disk = [${disk:+\"phy:$disk,xvda,w\"}]
extra = "console=hvc0 loglevel=2 panic=5 xtl.app=stepper stepper.pages=1024 stepper.write=64 stepper.period=1000"
tsc_mode = "native"
on_reboot = "destroy"
EOF
    xl create -q "$WORK/$guest.cfg"
    listen "$guest"
}

# there GUEST: fails where the guest has ended, and tells what Xen says of it.
there() {
    xl domid "$1" &>/dev/null || die "$1 has ended; Xen's last words: $(xl dmesg | grep -a '^(XEN) d[1-9]' | tail -n 3)"
}

# goes_on GUEST LINES: waits until the guest has printed five steps after its first LINES lines, all of them whole.
goes_on() {
    local guest=$1 lines=$2 i new
    for ((i = 0; i < 1200; i++)); do
        if grep -a BROKEN "$WORK/$guest.log"; then die "$guest found its memory or disk broken"; fi
        mapfile -t new < <(tail -n "+$((lines + 1))" "$WORK/$guest.log" | grep -a '^step ' | cut -d' ' -f2)
        if ((${#new[@]} > 5)); then
            echo "$guest runs, from step ${new[0]} on; now at ${new[-1]}, and whole"
            return
        fi
        sleep 0.5
        if ((i % 20 == 19)); then there "$guest"; fi
    done
    die "$guest does not go on; its last words: $(tail -n 3 "$WORK/$guest.log")"
}

length_of() { wc -l <"$WORK/$1.log"; }

# come_back COMMAND...: runs what brings guests back, and lets each of them tell where it goes on.
come_back() {
    local guest lines=() i back
    read -ra back <<<"$1"
    shift
    for guest in "${back[@]}"; do lines+=("$(length_of "$guest")"); done
    "$@"
    for guest in "${back[@]}"; do listen "$guest"; done
    for ((i = 0; i < ${#back[@]}; i++)); do goes_on "${back[i]}" "${lines[i]}"; done
}

trap clean_up EXIT
# An input that neither has anything nor ends: 'xl console' ends with its input.
mkfifo "$WORK/silence"
exec {silence}<>"$WORK/silence"
trap 'exit 130' INT TERM
for guest in "${GUESTS[@]}"; do
    if xl domid "$guest" &>/dev/null; then die "there is a domain $guest already; 'xl destroy $guest' removes it"; fi
done

say "a thin pool with a volume for each of two PVH guests"
ours disk pool create "$POOL" --data "$WORK/pool.data" --metadata "$WORK/pool.metadata" --size 128M
a=$(ours disk create "${GUESTS[0]}" --size 8M)
b=$(ours disk create "${GUESTS[1]}" --size 8M)
say "starting two PVH guests with disks and a PV guest"
start "${GUESTS[0]}" pvh "$a"
start "${GUESTS[1]}" pvh "$b"
start "${GUESTS[2]}" pv
for guest in "${GUESTS[@]}"; do goes_on "$guest" 0; done

names=()
for guest in "${GUESTS[@]}"; do names+=(--domain "$guest"); done
say "a first checkpoint and five increments of all three together"
ours watch --every 2s --count 6 --suspend-timeout 2m --background-share 1 "${names[@]}"
for guest in "${GUESTS[@]}"; do there "$guest"; done
ours checkpoints
ours verify

say "destroying the guests, which are at steps $(for guest in "${GUESTS[@]}"; do last_step "$guest"; done | xargs)"
destroy_all
say "back to the third checkpoint"
come_back "${GUESTS[*]}" ours restore 3
destroy_all
say "and to the sixth"
come_back "${GUESTS[*]}" ours restore 6
destroy_all

say "the second checkpoint of ${GUESTS[0]} for Xen's own 'xl restore'"
ours export --xl "$WORK/demo.xl" 2 "${GUESTS[0]}"
ours export --xl "$WORK/demo-pv.xl" 2 "${GUESTS[2]}"
for verifier in /usr/lib/xen-*/bin/verify-stream-v2; do
    [[ -x $verifier ]] || continue
    for file in "$WORK"/demo.xl "$WORK"/demo-pv.xl; do
        PYTHONPATH=${verifier%/bin/*}/lib/python "$verifier" -f xl -i "$file" >/dev/null || die "Xen's verify-stream-v2 finds ${file##*/} wrong"
        echo "Xen's verify-stream-v2 finds ${file##*/} right"
    done
done
ours restore --disks-only 2 --domain "${GUESTS[0]}"
come_back "${GUESTS[0]}" xl restore "$WORK/demo.xl"
clean_up
echo "demo: OK"
