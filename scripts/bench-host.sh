#!/usr/bin/env bash
# What a guest gets done during a first full checkpoint, over what it gets done without one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bench-lab.sh"

host_usage() {
    cat <<'EOT'
usage: ./dev bench host [ROUNDS]

In the lab, on one PVH guest that works as fast as it can (the stepper without a pause between steps), ROUNDS times (5) in turn: its
steps a second during a first full checkpoint as the product does it, during one that is not held back (backgroundShare 1), and
for as long as the first one took without a checkpoint. Dom0 and the guest share one processor. Prints the medians and the
ratios of the medians over those without a checkpoint; JSON in artifacts/bench/host.json. The target is 0.7.
EOT
}

case ${1:-} in -h | --help) host_usage; exit 0 ;; esac
begin_bench host "$@"

# The stepper tells each step on the console; what it told last is how far it is.
steps() { "$REPO/dev" lab guest 1 log load </dev/null | awk '$1 == "step" { k = $2 } END { print k + 0 }'; }
now() { date +%s.%N; }

# rate COMMAND...: steps a second while it runs; and how long that was.
rate() {
    local before start
    before=$(steps) start=$(now)
    "$@" >&2
    awk -v a="$before" -v b="$(steps)" -v s="$start" -v e="$(now)" 'BEGIN { printf "%.2f %.1f", (b - a) / (e - s), e - s }'
}

first() {
    dom0 rm -rf /var/lib/xtl-bench/store
    dom0 xtlctl checkpoint --direct "${PLACES[@]}" --suspend-timeout 1m "$@"
}

"$REPO/dev" lab guest 1 create load --memory 512 stepper.pages=65536 stepper.write=64 stepper.period=0 >/dev/null
declare -A rates=()
for ((round = 1; round <= rounds; round++)); do
    read -r held took < <(rate first)
    read -r full _ < <(rate first --background-share 1)
    read -r none _ < <(rate sleep "$took")
    rates[held]+="$held " rates[full]+="$full " rates[none]+="$none "
    echo "round $round: $held steps a second held back ($took s), $full not held back, $none without a checkpoint"
done
"$REPO/dev" lab guest 1 destroy load
held=$(median "${rates[held]}") full=$(median "${rates[full]}") none=$(median "${rates[none]}")
echo "held back: $(ratio "$held" "$none") ($held over $none); not held back: $(ratio "$full" "$none") ($full over $none)"
printf '{"heldBack": %s, "notHeldBack": %s, "without": %s}\n' "$held" "$full" "$none" >"$json"
