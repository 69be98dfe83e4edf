#!/usr/bin/env bash
# PID 1 of the lab's own namespaces (network, mounts, processes). All that the lab runs lives inside them, so when
# this process ends, in whatever way, the kernel ends the emulators and takes the bridge and the taps away.
set -euo pipefail
run=$1
mount -t proc proc /proc
ip link set lo up
ip link add labbr0 type bridge
ip address add 10.77.0.1/16 dev labbr0
ip link set labbr0 up
touch "$run/keeper.ready"
# Bash reaps the orphans that become children of PID 1 while it waits.
while :; do
    sleep infinity &
    wait $! || true
done
