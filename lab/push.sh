#!/usr/bin/env bash
# Publishes the product into the nodes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

push_usage() {
    cat <<'EOF'
usage: ./dev lab push [--tests] [--program NAME]... [--as-it-is] [NODE...]

Publishes the programs (xtlctl as machine code, xtlckptd ReadyToRun for the .NET runtime that the node has) and copies
what changed into /opt/xtl of the nodes named, or of all. Links in /usr/local/bin put them on PATH.
  --tests         also the tests that run inside a Dom0
  --program NAME  only this one of the programs; of the others, what was published before
  --as-it-is      what was published before, without a look at the sources
EOF
}

ALL=(xtlctl xtlckptd) PROGRAMS=()
OUT=$REPO/artifacts/publish

nodes=() tests='' as_it_is=''
while (($# > 0)); do
    case $1 in
        --tests) tests=1 ;;
        --as-it-is) as_it_is=1 ;;
        --program)
            [[ " ${ALL[*]} " == *" ${2:-} "* && -n ${2:-} ]] || usage_error "push: --program takes one of ${ALL[*]}"
            PROGRAMS+=("$2")
            shift
            ;;
        -h | --help) push_usage; exit 0 ;;
        *) check_node "$1"; nodes+=("$1") ;;
    esac
    shift
done
need_root
need lab
lab_alive || die "the lab is down; './dev lab up' starts it"
if ((${#nodes[@]} == 0)); then
    for ((n = 1; n <= MAX_NODES; n++)); do alive "$RUN/$n/qemu.pid" && nodes+=("$n"); done
fi
((${#PROGRAMS[@]} > 0)) || PROGRAMS=("${ALL[@]}")
mkdir -p "$OUT"
for program in "${PROGRAMS[@]}"; do
    [[ -z $as_it_is ]] || { [[ -e $OUT/bin/$program ]] || die "$program was not published yet: leave --as-it-is out"; continue; }
    options=()
    [[ $program == xtlctl ]] || options=(-p:PublishReadyToRun=true)
    progress "publishing $program" "$OUT/../publish-$program.log" \
        publish "$REPO/src/$program" "$OUT/bin" "${options[@]}"
done
if [[ -n $tests && -z $as_it_is ]]; then
    progress "publishing the Dom0 tests" "$OUT/../publish-tests.log" \
        publish "$REPO/tests/Xen.Dom0" "$OUT/tests" -p:PublishReadyToRun=true
fi
for n in "${nodes[@]}"; do
    # rsync runs inside the lab's namespaces, as ssh does.
    ssh_command "$n"
    in_lab rsync -a --delete --exclude '*.pdb' --exclude '*.dbg' --exclude '*.xml' \
        -e "${SSH[*]}" "$OUT/" "root@$(node_ip "$n"):/opt/xtl/"
    node_ssh "$n" "root@$(node_ip "$n")" "ln -sf $(printf '/opt/xtl/bin/%s ' "${PROGRAMS[@]}") /usr/local/bin/"
    say "node $n has the programs"
done
