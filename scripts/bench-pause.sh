#!/usr/bin/env bash
# How long a guest stands still for a checkpoint, as the guest itself sees it, and what the time is spent on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bench-lab.sh"

pause_usage() {
    cat <<'EOT'
usage: ./dev bench pause [ROUNDS]

In the lab, on one PVH guest under load, ROUNDS times (5) in turn: checkpoints with the dirty-page cache, checkpoints with a
cache of no entries (all dirty pages are copied while the guest is suspended), 'xl save -c', and Xen's own
checkpointing, 'xl remus', into nowhere. All of it for a guest that writes all of its buffer between two checkpoints
(wide), and for one that writes a small part of it again and again (hot).

The pause is the largest gap that the guest sees in its own time-stamp counter; of checkpoints, that of three increments,
and beside it that of the first, full one, which a process takes with code that has never run. The window is what the checkpoint adds to
the guest's own suspension and resumption (T_a, T_m, T_d, T_c side by side), against a memcpy of as many pages in the same
Dom0. Prints medians and ratios; JSON in artifacts/bench/pause.json.
EOT
}

case ${1:-} in -h | --help) pause_usage; exit 0 ;; esac
# A processor for Dom0 and one for the guest: on one for both, the guest would stand still for Dom0's work, too. And one
# virtual processor of Dom0: Xen would share the real one evenly between two, whatever Dom0's threads on them are worth.
export XTL_LAB_CPUS=2
begin_bench pause "$@"
dom0 xl vcpu-pin Domain-0 all 0
dom0 xl vcpu-set Domain-0 1

# The console of a guest is read by a command that would take what stands in standard input.
log_lines() { "$REPO/dev" lab guest 1 log load </dev/null | wc -l; }
# worst_gap LINES: the largest gap in milliseconds that the guest told after its first LINES lines.
worst_gap() {
    sleep 1
    "$REPO/dev" lab guest 1 log load | tail -n "+$(($1 + 1))" |
        awk '$1 == "gap" && $2 > max { max = $2 } END { printf "%.1f", max / 1000 }'
}

# increments: of the reports of a watch, the median increment's window in ms, residual pages, and T_s + T_r, T_a, T_m, T_d,
# T_c in ms.
increments() {
    dom0 python3 -c '
import json, sys
text, at, found = sys.stdin.read(), 0, []
while text[at:].strip():
    report, at = json.JSONDecoder().raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
    domain, phases = report["domains"][0], report["phases"]
    if domain["fullBecause"] is None:
        own = phases["ts"] + phases["tr"]
        found.append((report["pauseMs"] - own, domain["residual"], own, *(phases[p] for p in ("ta", "tm", "td", "tc"))))
found.sort()
print(*(round(f, 3) for f in found[len(found) // 2]))'
}

# memcpy_ms PAGES: the median of nine copies of so many pages from one buffer to another in the Dom0.
memcpy_ms() {
    dom0 python3 -c '
import ctypes, sys, time
size = int(sys.argv[1]) * 4096
a, b = ctypes.create_string_buffer(b"x" * size, size), ctypes.create_string_buffer(b"y" * size, size)
times = []
for _ in range(9):
    start = time.perf_counter()
    ctypes.memmove(b, a, size)
    times.append(time.perf_counter() - start)
print("%.3f" % (sorted(times)[4] * 1000))' "$1"
}

# Of what is no checkpoint: no window, pages, suspension, and phases.
NONE='- - - - - - -'
mark=$REPO/artifacts/bench/pause.mark
# watch OPTION...: takes four checkpoints; prints their reports, and notes in the mark what the guest had printed when the
# first was taken.
watch() {
    dom0 xtlctl watch "${PLACES[@]}" --every 5s --count 4 --suspend-timeout 1m --json "$@" | {
        IFS= read -r first
        log_lines >"$mark"
        printf '%s\n' "$first"
        cat
    }
}

# measure MODE: one line: gap ms, gap with the first checkpoint, window ms, residual pages, suspension and resumption ms, T_a,
# T_m, T_d, T_c, memcpy ms; - where there is none.
measure() {
    local before gap='' whole='-' rest=$NONE copy='-'
    before=$(log_lines)
    case $1 in
        nothing) sleep 10 ;;
        cache) rest=$(watch --allowed-pause 20ms | increments) || return ;;
        no-cache) rest=$(watch --cache-entries 0 | increments) || return ;;
        xl-save) dom0 xl save -c load /var/tmp/bench.xl &>/dev/null ;;
        remus) gap=$(remus "$before") || return ;;
    esac
    if [[ $rest != "$NONE" ]]; then
        copy=$(memcpy_ms "$(cut -d' ' -f2 <<<"$rest")")
        gap=$(worst_gap "$(<"$mark")") whole=$(worst_gap "$before")
    fi
    echo "${gap:-$(worst_gap "$before")} $whole $rest $copy"
    dom0 rm -rf /var/lib/xtl-bench/store /var/tmp/bench.xl
}

# remus LINES: some checkpoints a second apart into nowhere (-b), without network and disk buffering, until it is told to
# end; prints the largest gap since then. Fails where the guest was never suspended: sending all of its memory once comes
# first, and takes most of the time.
remus() {
    local rc=0 events
    events=$(dom0 sh -c '
        stdbuf -oL xenstore-watch "/local/domain/$(xl domid load)/control/shutdown" >/var/tmp/remus.watch & watch=$!
        timeout -s INT 40 xl remus -F -b -n -d -i 1000 load localhost >/var/tmp/remus.log 2>&1; rc=$?
        kill $watch
        grep -c . /var/tmp/remus.watch
        exit $rc') || rc=$?
    dom0 cat /var/tmp/remus.log >"$REPO/artifacts/bench/remus.log"
    worst_gap "$1"

    # One event when the watch begins, two for each request: it is made, and the guest takes it.
    echo "remus: $(((events - 1) / 2)) checkpoints" | tee -a "$REPO/artifacts/bench/remus.log" >&2
    # An 'xl remus' that is ended leaves the dirty log on; an 'xl save' takes it over and switches it off.
    dom0 xl save -c load /dev/null &>/dev/null
    # timeout's own code: it ran until then.
    ((rc == 124 && events >= 3)) && dom0 xl list load &>/dev/null
}

rows=()
for load in wide hot; do
    case $load in
        wide) parameters=(stepper.pages=4096 stepper.write=128) ;;
        hot) parameters=(stepper.pages=256 stepper.write=128) ;;
    esac
    "$REPO/dev" lab guest 1 create load --memory 128 "${parameters[@]}" stepper.period=100 stepper.gaps=1 >/dev/null
    dom0 xl vcpu-pin load all 1
    declare -A gaps=() wholes=() windows=() residuals=() suspensions=() copies=()
    modes=(nothing cache no-cache xl-save remus)
    for ((round = 1; round <= rounds; round++)); do
        for mode in "${modes[@]}"; do
            [[ ${gaps[$mode]:-} != failed ]] || continue
            if ! line=$(measure "$mode"); then
                [[ $mode == remus ]] || die "$mode failed"
                gaps[$mode]=failed
                echo "round $round, $load, $mode: does not run here: $(tail -n 3 "$REPO/artifacts/bench/remus.log" | tr '\n' ' ')"
                dom0 xl list load &>/dev/null || die "the guest did not survive it"
                continue
            fi
            read -r gap whole window residual suspension ta tm td tc copy <<<"$line"
            echo "round $round, $load, $mode: gap $gap ms (with the first: $whole), window $window ms (T_a $ta, T_m $tm, T_d $td, T_c $tc) for $residual pages (memcpy $copy ms), suspension and resumption $suspension ms"
            gaps[$mode]+="$gap " wholes[$mode]+="$whole " windows[$mode]+="$window " residuals[$mode]+="$residual "
            suspensions[$mode]+="$suspension " copies[$mode]+="$copy "
        done
    done
    base=$(median "${gaps[cache]}")
    for mode in "${modes[@]}"; do
        gap=$(median "${gaps[$mode]/failed/}") window=$(median "${windows[$mode]:-}") copy=$(median "${copies[$mode]:-}")
        bound=-
        [[ $copy == - ]] || bound=$(awk -v c="$copy" 'BEGIN { printf "%.1f", 1.5 * c + 5 }')
        rows+=("$load $mode $gap $(ratio "$gap" "$base") $(median "${wholes[$mode]:-}") $(median "${suspensions[$mode]:-}") $(median "${residuals[$mode]:-}") $window $copy $bound")
    done
    "$REPO/dev" lab guest 1 destroy load
done

columns=(load mode gapMs againstCache withFirstMs suspendResumeMs residualPages windowMs memcpyMs boundMs)
printf '%s\n' "${columns[*]}" "${rows[@]}" | awk '{ for (i = 1; i <= NF; i++) printf "%-16s", $i; print "" }'
printf '%s\n' "${rows[@]}" | awk -v names="${columns[*]}" '
    BEGIN { n = split(names, name, " "); printf "[" }
    { printf "%s\n  {", (NR > 1 ? "," : "")
      for (i = 1; i <= n; i++) printf "%s\"%s\": %s", (i > 1 ? ", " : ""), name[i], ($i == "-" ? "null" : i <= 2 ? "\"" $i "\"" : $i)
      printf "}" }
    END { print "\n]" }' >"$json"
echo "bound: 1.5 times the memcpy and 5 ms; also in $json"
