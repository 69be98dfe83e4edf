#!/usr/bin/env bash
# Runs the tests and sums up what they say.
# What a track counts is meant to stay in its subshell: it comes back by a file.
# shellcheck disable=SC2030,SC2031
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

test_usage() {
    cat <<'EOF'
usage: ./dev test [--xen] [FILTER]

Runs all tests that need no Xen. With --xen instead those that do: two labs are built and booted for them (as root), side by
side; tests/Xen drives them, and the conformance suite runs inside the Dom0, on Xen 4.17 and on Xen 4.20. They take about
an hour.
FILTER   only tests whose full name contains it

Exit code 0 when all passed; the last line is 'N passed, N failed, N skipped'.
EOF
}

passed=0 failed=0 skipped=0 failures=()
# What the tests that failed said, once more at the end: the logs in between are long.
told=$(mktemp)
trap 'rm -f "$told"' EXIT

# tell_failures LOG: keeps each failure's lines, up to the next test.
tell_failures() {
    awk '/^    [^ ].*\[FAIL\]$/ { on = 1; left = 40 } on && (/^    [^ ].*\[(SKIP|PASS)\]/ || /^  (Finished|Starting):/ || left-- <= 0) { on = 0 } on' \
        "$1" >>"$told"
}

# tally NAME CMD...: runs a test program, shows what it prints and adds its counts up. A program that ends without
# its summary line counts as one failure.
tally() {
    local name=$1 log rc=0 line
    shift
    say "$name"
    log=$(mktemp)
    "$@" </dev/null 2>&1 | tee "$log" || rc=$?
    line=$(grep -oE 'Total: (0$|[0-9]+, Errors: [0-9]+, Failed: [0-9]+, Skipped: [0-9]+)' "$log" | tail -n 1 || true)
    tell_failures "$log"
    rm -f "$log"
    if [[ $line =~ Total:\ ([0-9]+),\ Errors:\ ([0-9]+),\ Failed:\ ([0-9]+),\ Skipped:\ ([0-9]+) ]]; then
        local bad=$((BASH_REMATCH[2] + BASH_REMATCH[3])) skip=${BASH_REMATCH[4]} total=${BASH_REMATCH[1]}
        passed=$((passed + total - BASH_REMATCH[3] - skip))
        skipped=$((skipped + skip))
        # A summary without failures does not excuse an exit code that tells of one.
        ((bad > 0 || rc == 0)) || bad=1
        failed=$((failed + bad))
        ((bad == 0)) || failures+=("$name")
    elif [[ $line == 'Total: 0' && ${#filter[@]} -gt 0 ]]; then
        # No test of this program is meant.
        :
    else
        echo "$name ended with exit code $rc and without a summary"
        failed=$((failed + 1))
        failures+=("$name")
    fi
}

output_of() { echo "$REPO/tests/$1/bin/Release/net10.0/linux-x64/XenTwoLevelCkpt.$1"; }

# native: publishes xtlctl for the tests of what is published, unless the filter leaves them out.
native() {
    local out=$REPO/artifacts/native
    if ((${#filter[@]} == 0)) || [[ ${filter[1]} == *Native* ]]; then
        mkdir -p "$out"
        progress "publishing xtlctl" "$out.log" publish "$REPO/src/xtlctl" "$out"
        export XTL_NATIVE_XTLCTL=$out/xtlctl
    fi
}

host_tests() {
    local dir name
    native
    for dir in "$REPO"/tests/*/; do
        name=$(basename "$dir")
        case $name in
            # Libraries, the programs of other tests, and what runs in the lab.
            *.Conformance | *.SecondReader | Chaos | ClusterSimulation | Xen | Xen.*) ;;
            *) tally "$name" "$(output_of "$name")" -noColor "${filter[@]}" ;;
        esac
    done
}

lab() { "$REPO/dev" lab "$@"; }

DISK_TESTS=XenTwoLevelCkpt.Dom0Tests.Disks

# on_xen NAME CMD...: tallies CMD, and does so again, at most three times, where it failed and the emulator lost a guest
# meanwhile: a defect of the emulator that docs/lab.md describes. A failure without that sign counts at once.
on_xen() {
    local before=("$passed" "$failed" "$skipped" "${#failures[@]}") again lost=0 seen told_before
    told_before=$(stat -c %s "$told")
    tally "$@"
    for again in 1 2 3; do
        seen=$(guests_lost)
        ((failed > before[1] && seen > lost)) || return 0
        lost=$seen
        say "the emulator lost a guest (docs/lab.md); again ($again of 3)"
        passed=${before[0]} failed=${before[1]} skipped=${before[2]}
        failures=("${failures[@]:0:before[3]}")
        truncate -s "$told_before" "$told"
        tally "$@"
    done
}

# conformance: the conformance suite inside the Dom0, on a PVH and a PV guest of its own.
conformance() {
    local guest
    for guest in $(lab guest 1 list); do lab guest 1 destroy "$guest"; done
    lab guest 1 create conformance-pvh --disk 16 stepper.pages=1024 stepper.write=64 stepper.period=50 || return
    lab guest 1 create conformance-pv --type pv stepper.pages=1024 stepper.write=64 stepper.period=50 || return
    lab exec 1 -- env XTL_PVH_GUEST=conformance-pvh XTL_PV_GUEST=conformance-pv \
        dotnet /opt/xtl/tests/XenTwoLevelCkpt.Xen.Dom0.dll -noColor -namespace- "$DISK_TESTS" "$@" "${filter[@]}"
}

# disks: dm-thin volumes and directories, and guests on them. They make what they need.
disks() {
    local guest
    for guest in $(lab guest 1 list); do lab guest 1 destroy "$guest"; done
    lab exec 1 -- dotnet /opt/xtl/tests/XenTwoLevelCkpt.Xen.Dom0.dll -noColor -namespace "$DISK_TESTS" "${filter[@]}"
}

# fresh_lab SUITE: one node without a past.
fresh_lab() {
    lab down
    lab up --suite "$1"
    lab push --tests --as-it-is
}

# driven NAME CLASSES...: the classes of tests/Xen, or with '-class-' before each of them all others, on this track's lab.
driven() { on_xen "$1" "$(output_of Xen)" -noColor -diagnostics -reporter verbose "${@:2}" "${filter[@]}"; }

XEN=XenTwoLevelCkpt.XenTests
# They need two nodes or a second lab: no other emulator runs beside them.
ALONE=("$XEN.ClusterTests" "$XEN.LabTests")

# Two tracks of about the same length. A node has one processor, and an emulator keeps one of the machine's busy.
track_driven() {
    fresh_lab bookworm
    local left=() class
    for class in "${ALONE[@]}" "$XEN.TakeoverTests"; do left+=(-class- "$class"); done
    driven "Xen" "${left[@]}"
    lab down
}

track_dom0() {
    fresh_lab bookworm
    on_xen "Xen.Dom0 (Xen 4.17)" conformance
    on_xen "disks in Dom0" disks
    driven "Xen, takeovers" -class "$XEN.TakeoverTests"
    fresh_lab trixie
    # Debian builds its Xen 4.20 without shadow paging, which log-dirty mode of PV guests needs (EOPNOTSUPP).
    on_xen "Xen.Dom0 (Xen 4.20)" conformance -class- XenTwoLevelCkpt.Dom0Tests.PvDirtyLog
    lab down
}

track_alone() {
    fresh_lab bookworm
    local class classes=()
    for class in "${ALONE[@]}"; do classes+=(-class "$class"); done
    driven "Xen, several nodes" "${classes[@]}"
    lab down
}

# begin NAME: runs track_NAME in the background, in a lab of its own. Its lines begin with its name, its counts go to a file.
begin() {
    local name=$1
    (
        export XTL_LAB=test-$name
        passed=0 failed=0 skipped=0 failures=()
        told=$tracks/$name.told
        : >"$told"
        trap 'lab down' EXIT
        "track_$name"
        printf '%s\n' "$passed $failed $skipped" "${failures[@]}" >"$tracks/$name"
    ) > >(exec sed -u "s/^/$name: /") 2>&1 &
    running+=("$!")
}

# join NAME...: waits for tracks and adds up what they found.
join() {
    local name pid lines counts
    for pid in "${running[@]}"; do wait "$pid" || true; done
    running=()
    for name in "$@"; do
        cat "$tracks/$name.told" >>"$told" 2>/dev/null || true
        if [[ ! -e $tracks/$name ]]; then
            failed=$((failed + 1))
            failures+=("the track '$name' ended early")
            continue
        fi
        mapfile -t lines <"$tracks/$name"
        read -ra counts <<<"${lines[0]}"
        passed=$((passed + counts[0])) failed=$((failed + counts[1])) skipped=$((skipped + counts[2]))
        failures+=("${lines[@]:1}")
    done
}

# What a run that is interrupted leaves.
end_tracks() {
    local name
    ((${#running[@]} == 0)) || kill "${running[@]}" 2>/dev/null || true
    wait
    for name in test test-driven test-dom0 test-alone test-kill; do XTL_LAB=$name lab down || true; done
    rm -rf "$told" "$tracks"
}

xen_tests() {
    ((EUID == 0)) || die "the lab makes network namespaces and device nodes: run './dev test --xen' as root"
    tracks=$(mktemp -d) running=()
    trap end_tracks EXIT
    # Published once: two publishes of one program disturb each other.
    export XTL_LAB=test XTL_PUBLISHED=1
    lab up
    lab push --tests
    lab down
    begin driven
    begin dom0
    join driven dom0
    begin alone
    join alone
    local cache=$REPO/lab/.state/cache
    XTL_VERIFY_STREAM=$cache/bookworm/root/usr/lib/xen-4.17/bin/verify-stream-v2 tally "streams, judged by Xen's verifier" \
        "$(output_of XlStream.Tests)" -noColor -class "*PeerTests"
    XTL_HEADERS=$cache/trixie/root/usr/include tally "layout proof (Xen 4.20)" \
        "$(output_of NativeInterop.Tests)" -noColor -class "*Layout*"
}

xen='' filter=()
while (($# > 0)); do
    case $1 in
        --xen) xen=1 ;;
        -h | --help) test_usage; exit 0 ;;
        -*) test_usage >&2; usage_error "test: $1 is not known" ;;
        *) filter=(-method "*$1*") ;;
    esac
    shift
done
if [[ -n $xen ]]; then need build lab; else need build test; fi
"$REPO/scripts/build.sh"
export TESTINGPLATFORM_TELEMETRY_OPTOUT=1
if [[ -n $xen ]]; then xen_tests; else host_tests; fi

cat "$told"
((${#failures[@]} == 0)) || printf 'failed: %s\n' "${failures[@]}"
((passed + failed + skipped > 0)) || echo "no test matches"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
