#!/usr/bin/env bash
# How long a guest takes to come back, by this software and by 'xl restore' alone.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bench-lab.sh"

restore_usage() {
    cat <<'EOT'
usage: ./dev bench restore [ROUNDS]

In the lab, on one PVH guest, ROUNDS times (5) in turn: 'xtlctl restore' of a full checkpoint, of one with four increments
on top, and 'xl restore' of a file of 'xl save' of the same guest. Each time from the command to its end, with the guest
running again and going on where it was. Prints medians and ratios; JSON in artifacts/bench/restore.json.
EOT
}

case ${1:-} in -h | --help) restore_usage; exit 0 ;; esac
begin_bench restore "$@"
"$REPO/dev" lab guest 1 create load --memory 128 stepper.pages=4096 stepper.write=64 stepper.period=500 >/dev/null
dom0 xtlctl watch "${PLACES[@]}" --every 3s --count 5 >/dev/null
dom0 xl save -c load /var/tmp/bench.xl &>/dev/null

# seconds MODE: the time of one restore, taken in the Dom0 itself.
seconds() {
    local back
    case $1 in
        full) back="xtlctl restore ${PLACES[*]} 1" ;;
        chain) back="xtlctl restore ${PLACES[*]} 5" ;;
        xl) back="xl restore /var/tmp/bench.xl" ;;
    esac
    dom0 bash --norc -euc '
        xl destroy load
        start=$(date +%s%N)
        '"$back"' &>/dev/null
        end=$(date +%s%N)
        awk -v ns=$((end - start)) "BEGIN { printf \"%.2f\n\", ns / 1e9 }"'
}

# goes_on: the guest steps, and found nothing broken.
goes_on() {
    local before now i
    before=$("$REPO/dev" lab guest 1 log load | grep -c '^step ')
    for ((i = 0; i < 60; i++)); do
        now=$("$REPO/dev" lab guest 1 log load)
        ! grep -q BROKEN <<<"$now" || die "the restored guest is broken: $(grep BROKEN <<<"$now")"
        (($(grep -c '^step ' <<<"$now") <= before + 2)) || return 0
        sleep 1
    done
    die "the restored guest does not go on"
}

declare -A times
modes=(full chain xl)
for ((round = 1; round <= rounds; round++)); do
    for mode in "${modes[@]}"; do
        time=$(seconds "$mode")
        goes_on
        echo "round $round, $mode: $time s"
        times[$mode]+="$time "
    done
done

base=$(median "${times[xl]}")
printf '%-10s %10s %14s\n' mode 'median s' 'against xl'
{
    echo '['
    for mode in "${modes[@]}"; do
        m=$(median "${times[$mode]}") against=$(ratio "$(median "${times[$mode]}")" "$base")
        printf '%-10s %10s %14s\n' "$mode" "$m" "$against" >&2
        printf '%s  {"mode": "%s", "medianSeconds": %s, "againstXl": %s}' "${sep:-}" "$mode" "$m" "$against"
        sep=$',\n'
    done
    printf '\n]\n'
} >"$json"
echo "also in $json"
