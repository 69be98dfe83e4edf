#!/usr/bin/env bash
# How long a guest stands still for a checkpoint, as the guest itself sees it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

pause_usage() {
    cat <<'EOF'
usage: ./dev bench pause [ROUNDS]

In the lab, on one guest under load, ROUNDS times (5) in turn: a checkpoint with the dirty-page cache, one with a cache of
no entries (all dirty pages are copied while the guest is suspended), and 'xl save -c'. The pause is the largest gap that the
guest sees in its own time-stamp counter. Prints a table of medians with ratios, and JSON in artifacts/bench.
EOF
}

case ${1:-} in -h | --help) pause_usage; exit 0 ;; esac
rounds=${1:-5}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || usage_error "ROUNDS is a number"
((EUID == 0)) || die "the lab makes network namespaces and device nodes: run './dev bench pause' as root"
need build lab
export XTL_LAB=bench
trap 'XTL_LAB=bench "$REPO/dev" lab down' EXIT
"$REPO/dev" lab up
"$REPO/dev" lab push
dom0() { "$REPO/dev" lab exec 1 -- "$@"; }

"$REPO/dev" lab guest 1 create load stepper.pages=4096 stepper.write=64 stepper.period=100 stepper.gaps=1

log_lines() { "$REPO/dev" lab guest 1 log load | wc -l; }
# worst_gap LINES: the largest gap in milliseconds that the guest told after its first LINES lines.
worst_gap() {
    sleep 1
    "$REPO/dev" lab guest 1 log load | tail -n "+$(($1 + 1))" | awk '$1 == "gap" && $2 > max { max = $2 } END { printf "%.1f\n", max / 1000 }'
}

places=(--store /var/lib/xtl-bench/store --state /var/lib/xtl-bench/state)
measure() {
    local before
    before=$(log_lines)
    case $1 in
        # The second checkpoint of two is the increment; the gap is that of the worse one.
        cache) dom0 xtlctl watch "${places[@]}" --every 8s --count 2 --allowed-pause 20ms >/dev/null ;;
        no-cache) dom0 xtlctl watch "${places[@]}" --every 8s --count 2 --cache-entries 0 >/dev/null ;;
        xl-save) dom0 xl save -c load /var/tmp/bench.xl >/dev/null 2>&1 ;;
        nothing) sleep 8 ;;
    esac
    worst_gap "$before"
    dom0 rm -rf /var/lib/xtl-bench/store /var/tmp/bench.xl
}

declare -A gaps
modes=(nothing cache no-cache xl-save)
for ((round = 1; round <= rounds; round++)); do
    for mode in "${modes[@]}"; do
        gap=$(measure "$mode")
        echo "round $round, $mode: $gap ms"
        gaps[$mode]+="$gap "
    done
done

median() { tr ' ' '\n' <<<"$1" | grep . | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
base=$(median "${gaps[cache]}")
mkdir -p "$REPO/artifacts/bench"
json=$REPO/artifacts/bench/pause.json
{
    echo '['
    for mode in "${modes[@]}"; do
        m=$(median "${gaps[$mode]}")
        printf '%s{"mode": "%s", "medianGapMs": %s, "ratioToCache": %s}' "${sep:-}" "$mode" "$m" "$(awk -v a="$m" -v b="$base" 'BEGIN { printf "%.2f", a / b }')"
        sep=$',\n'
    done
    echo; echo ']'
} >"$json"
printf '%-10s %14s %16s\n' mode 'median gap ms' 'against cache'
for mode in "${modes[@]}"; do
    m=$(median "${gaps[$mode]}")
    printf '%-10s %14s %16s\n' "$mode" "$m" "$(awk -v a="$m" -v b="$base" 'BEGIN { printf "%.2f", a / b }')"
done
echo "also in $json"
