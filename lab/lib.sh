# shellcheck shell=bash
# Shared by the lab's scripts. $LAB_NAME chooses among labs that live side by side.

# shellcheck source=../scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

LAB_DIR=$REPO/lab
LAB_NAME=${XTL_LAB:-default}
[[ $LAB_NAME =~ ^[a-z0-9-]{1,20}$ ]] || die "XTL_LAB=$LAB_NAME: a lab's name is 1 to 20 of a-z, 0-9 and -"
STATE=$LAB_DIR/.state
RUN=$STATE/run/$LAB_NAME
DEFAULT_SUITE=bookworm

# 10.77.N.0/24 belongs to node N: .1 is its Dom0, .2 and up its guests. 10.77.0.1 is the bridge's own address.
node_ip() { echo "10.77.$1.1"; }
MAX_NODES=16

check_suite() {
    case $1 in
        bookworm | trixie) ;;
        *) usage_error "--suite $1: the suites are bookworm (Xen 4.17, Linux 6.1) and trixie (Xen 4.20, Linux 6.12)" ;;
    esac
}

need_root() {
    ((EUID == 0)) || die "the lab makes network namespaces and device nodes: run it as root"
}

# alive PIDFILE: true when the process that the file names still runs. The file holds "PID START", START being
# field 22 of /proc/PID/stat, so that another process that got the same PID does not count.
alive() {
    local pid start
    [[ -r $1 ]] && read -r pid start <"$1" && [[ -n $start && $(proc_start "$pid") == "$start" ]]
}
proc_start() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
    # The command name may hold blanks and parentheses: count the fields behind the last one.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [[ $1 == Z ]] || echo "${20}"
}
write_pid() { echo "$2 $(proc_start "$2")" >"$1"; }
read_pid() { local pid; read -r pid _ <"$1" && echo "$pid"; }

lab_alive() { alive "$RUN/keeper.pid"; }

# in_lab CMD...: runs CMD in the lab's network, mount and process namespaces.
in_lab() { nsenter -t "$(read_pid "$RUN/keeper.pid")" -n -m -p -- "$@"; }

check_node() {
    [[ $1 =~ ^[0-9]+$ ]] || usage_error "NODE is a number from 1 on, not '$1'"
    lab_alive || die "the lab is down; './dev lab up' starts it"
    alive "$RUN/$1/qemu.pid" || die "node $1 is not up; './dev lab ps' lists the nodes"
}

# ssh_command NODE: the SSH client's command line, in SSH. One connection a node is kept open inside the lab's namespaces
# and ends with them.
ssh_command() {
    SSH=(ssh -F none -i "$STATE/ssh/key" -o ControlMaster=auto -o "ControlPath=$RUN/$1/ssh" -o ControlPersist=yes
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes
        -o ConnectTimeout=30 -o ServerAliveInterval=30 -o ServerAliveCountMax=20 -o Ciphers=chacha20-poly1305@openssh.com)
}

# node_ssh NODE [SSH-OPTION...] root@ADDRESS COMMAND-LINE
node_ssh() {
    ssh_command "$1"
    shift
    in_lab "${SSH[@]}" "$@"
}

# shell_words ARG...: the arguments quoted so that a remote shell sees them as they are.
shell_words() { printf '%q ' "$@"; }
