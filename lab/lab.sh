#!/usr/bin/env bash
# ./dev lab: a real Xen in a box.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lab_usage() {
    cat <<'EOF'
usage: ./dev lab COMMAND

  build [--suite S]         make the images (Xen 4.17: bookworm, the default; Xen 4.20: trixie)
  up [--nodes N]            boot N Xen hosts
  ps [--json]               the nodes
  exec NODE -- CMD [ARG...] run a command in a node's Dom0
  push [NODE...]            publish the product into the nodes (default: all)
  guest NODE ...            make, show and destroy guests
  console NODE              a node's serial console
  logs NODE                 what its console has printed
  kill NODE                 end a node at once, as when its power fails
  down                      end all nodes

XTL_LAB=NAME names a lab; several may run side by side. docs/lab.md tells more.
EOF
}

lab_ps() {
    local n dir state address suite first=1
    case ${1:-} in
        '' | --json) ;;
        -h | --help) echo "usage: ./dev lab ps [--json]"; return ;;
        *) usage_error "lab ps: $1 is not known" ;;
    esac
    suite=$(cat "$RUN/suite" 2>/dev/null || true)
    [[ ${1:-} == --json ]] && printf '['
    [[ ${1:-} == --json ]] || printf '%-5s %-9s %-9s %-12s %s\n' NODE STATE SUITE ADDRESS PID
    for ((n = 1; n <= MAX_NODES; n++)); do
        dir=$RUN/$n
        [[ -d $dir ]] || continue
        state=ended
        if alive "$dir/qemu.pid"; then
            state=booting
            node_ssh "$n" -o ConnectTimeout=2 "root@$(node_ip "$n")" true >/dev/null 2>&1 </dev/null && state=up
        fi
        address=$(node_ip "$n")
        if [[ ${1:-} == --json ]]; then
            [[ -n $first ]] || printf ','
            printf '{"node":%d,"state":"%s","suite":"%s","address":"%s","pid":%d}' "$n" "$state" "$suite" "$address" "$(read_pid "$dir/qemu.pid")"
        else
            printf '%-5s %-9s %-9s %-12s %s\n' "$n" "$state" "$suite" "$address" "$(read_pid "$dir/qemu.pid")"
        fi
        first=
    done
    [[ ${1:-} != --json ]] || printf ']\n'
}

lab_exec() {
    [[ ${1:-} != -h && ${1:-} != --help ]] || { echo "usage: ./dev lab exec NODE -- CMD [ARG...]"; return; }
    (($# >= 2)) || usage_error "usage: ./dev lab exec NODE -- CMD [ARG...]"
    local node=$1
    shift
    [[ $1 != -- ]] || shift
    check_node "$node"
    local tty=()
    # A terminal only where there is one at both ends: it merges the two outputs.
    [[ -t 0 && -t 1 ]] && tty=(-t)
    node_ssh "$node" "${tty[@]}" "root@$(node_ip "$node")" "$(shell_words "$@")"
}

lab_console() {
    [[ ${1:-} != -h && ${1:-} != --help ]] || { echo "usage: ./dev lab console NODE   (Ctrl-] leaves)"; return; }
    check_node "${1:?usage: ./dev lab console NODE}"
    [[ -t 0 ]] || die "the console wants a terminal; './dev lab logs $1' prints what it has shown"
    say "console of node $1; Ctrl-] leaves"
    # Through the folder: the path of a socket may have only 107 characters.
    cd "$RUN/$1"
    socat STDIO,raw,echo=0,escape=0x1d UNIX-CONNECT:console.sock
}

lab_logs() {
    [[ ${1:-} != -h && ${1:-} != --help ]] || { echo "usage: ./dev lab logs NODE"; return; }
    [[ ${1:-} =~ ^[0-9]+$ ]] || usage_error "usage: ./dev lab logs NODE"
    [[ -r $RUN/$1/console.log ]] || die "node $1 has no console log; './dev lab ps' lists the nodes"
    cat "$RUN/$1/console.log" "$RUN/$1/qemu.log"
}

lab_kill() {
    [[ ${1:-} != -h && ${1:-} != --help ]] || { echo "usage: ./dev lab kill NODE"; return; }
    check_node "${1:?usage: ./dev lab kill NODE}"
    local emulator
    emulator=$(read_pid "$RUN/$1/qemu.pid")
    kill -KILL "$emulator"
    tail --pid="$emulator" -f /dev/null
    say "node $1 is off"
}

command=${1:-}
(($# == 0)) || shift
case $command in
    build | up | down | push | guest) exec "$LAB_DIR/$command.sh" "$@" ;;
    ps) need_root; lab_ps "$@" ;;
    exec) need_root; lab_exec "$@" ;;
    kill) need_root; lab_kill "$@" ;;
    console) need_root; lab_console "$@" ;;
    logs) lab_logs "$@" ;;
    -h | --help) lab_usage ;;
    '') lab_usage >&2; exit "$EX_USAGE" ;;
    *) lab_usage >&2; usage_error "lab: $command is not known" ;;
esac
