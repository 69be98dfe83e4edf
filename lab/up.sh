#!/usr/bin/env bash
# Starts the lab, or the nodes of it that are missing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

up_usage() {
    cat <<'EOF'
usage: ./dev lab up [--nodes N] [--suite bookworm|trixie]

Boots N Xen hosts (default 1), each in an emulator of its own, joined by a bridge in a network namespace of the
lab's own. Builds the images first where needed. Nodes that run already are left alone.
XTL_LAB_CPUS=N gives each node N processors; 1 by default.
EOF
}

# Each of these features is load-bearing under software emulation: docs/lab.md says what breaks with it.
CPU=EPYC,-smap,-smep,-umip,-monitor,-rdtscp,-xsave,-avx,-avx2,-f16c,-fma,-xsaveopt,-xgetbv1,-xsaves
NODE_MEMORY_MB=3072
# With two, guests die of a defect of the emulator now and then (docs/lab.md); nodes beside each other use the cores, too.
NODE_CPUS=${XTL_LAB_CPUS:-1}
DOM0_MEMORY_MB=1536
# Under emulation a Dom0 takes 30 to 70 s; a loaded machine may need a multiple.
BOOT_TIMEOUT_S=360

start_keeper() {
    rm -f "$RUN/keeper.ready"
    setsid unshare --net --mount --pid --fork --kill-child -- "$LAB_DIR/keeper.sh" "$RUN" \
        </dev/null >"$RUN/keeper.log" 2>&1 8>&- 9>&- &
    local outer=$! child i
    for ((i = 0; i < 600; i++)); do
        [[ -e $RUN/keeper.ready ]] && break
        kill -0 "$outer" 2>/dev/null || die "the lab's namespaces could not be made: $(<"$RUN/keeper.log")"
        sleep 0.1
    done
    [[ -e $RUN/keeper.ready ]] || die "the lab's namespaces did not become ready within a minute: $(<"$RUN/keeper.log")"
    child=$(pgrep -P "$outer") || die "the lab's keeper did not start: $(<"$RUN/keeper.log")"
    write_pid "$RUN/keeper.pid" "$child"
    echo "$SUITE" >"$RUN/suite"
}

# start_node N: the emulator runs inside the lab's namespaces and ends with them.
start_node() {
    local n=$1 dir=$RUN/$1 cache=$STATE/cache/$SUITE outer i
    mkdir -p "$dir" "$RUN/shared"
    rm -f "$dir"/*
    qemu-img create -q -f qcow2 -F raw -b "$cache/dom0.img" "$dir/disk.qcow2"
    in_lab ip link del "node$n" 2>/dev/null || true
    in_lab ip tuntap add dev "node$n" mode tap
    in_lab ip link set "node$n" up master labbr0
    setsid nsenter -t "$(read_pid "$RUN/keeper.pid")" -n -m -p -- \
        qemu-system-x86_64 -name "xtl-$LAB_NAME-$n" -nodefaults -no-user-config -no-reboot -display none \
        -machine q35 -accel tcg,thread=multi,tb-size=1024 -cpu "$CPU" -smp "$NODE_CPUS" -m "$NODE_MEMORY_MB" \
        -kernel "$cache/xen" \
        -append "dom0_mem=${DOM0_MEMORY_MB}M,max:${DOM0_MEMORY_MB}M dom0_max_vcpus=$NODE_CPUS console=com1 com1=115200,8n1 cpuidle=0 mwait-idle=0 loglvl=warning guest_loglvl=warning" \
        -initrd "$cache/vmlinuz console=hvc0 loglevel=4 net.ifnames=0 xtl.node=$n,$cache/initrd.gz" \
        -drive "if=none,id=root,file=$dir/disk.qcow2,format=qcow2,cache=unsafe" -device virtio-blk-pci,drive=root \
        -drive "if=none,id=payload,file=$cache/payload.img,format=raw,readonly=on" -device virtio-blk-pci,drive=payload \
        -netdev "tap,id=net,ifname=node$n,script=no,downscript=no" \
        -device "virtio-net-pci,netdev=net,romfile=,mac=$(printf '52:54:00:77:%02x:01' "$n")" \
        -fsdev "local,id=shared,path=$RUN/shared,security_model=none" -device virtio-9p-pci,fsdev=shared,mount_tag=shared \
        -device virtio-rng-pci \
        -chardev "socket,id=console,path=$dir/console.sock,server=on,wait=off,logfile=$dir/console.log" -serial chardev:console \
        -monitor "unix:$dir/monitor.sock,server=on,wait=off" \
        </dev/null >"$dir/qemu.log" 2>&1 8>&- 9>&- &
    outer=$!
    for ((i = 0; i < 600; i++)); do
        if pgrep -P "$outer" >"$dir/child"; then
            write_pid "$dir/qemu.pid" "$(<"$dir/child")"
            rm "$dir/child"
            return
        fi
        sleep 0.1
    done
    die "node $n: the emulator did not start: $(<"$dir/qemu.log")"
}

wait_for_node() {
    local n=$1 start=$SECONDS again=''
    until node_ssh "$n" "root@$(node_ip "$n")" true >/dev/null 2>"$RUN/$n/ssh.log"; do
        # Whoever asked was killed: what it started is taken down, and not started again.
        kill -0 $$ 2>/dev/null || return 1
        if ! alive "$RUN/$n/qemu.pid"; then
            tail -n 20 "$RUN/$n/console.log" "$RUN/$n/qemu.log" >&2 || true
            echo "the emulator of node $n ended" >&2
            [[ -z $again ]] || return 1
            # Seen once in some hundred boots, for a reason that is not known; a second time in a row it is no accident.
            echo "starting it once more" >&2
            again=1
            start_node "$n"
        fi
        if ((SECONDS - start > BOOT_TIMEOUT_S)); then
            tail -n 20 "$RUN/$n/console.log" >&2
            echo "node $n did not answer within $BOOT_TIMEOUT_S s; the end of its console is above" >&2
            return 1
        fi
        sleep 1
    done
}

# In a process of its own, which does not keep the lock when the script is killed.
wait_for_nodes() {
    local n
    exec 9>&-
    for n in "$@"; do wait_for_node "$n"; done
}

# Watches over this script: when it ends without having finished, even by SIGKILL, what it started is taken down.
start_guard() {
    rm -f "$RUN/up.done"
    setsid bash -c '
        tail --pid="$1" -f /dev/null
        [[ -e $2/up.done ]] || { sleep 0.2; "$3/down.sh"; }
    ' guard "$$" "$RUN" "$LAB_DIR" </dev/null >/dev/null 2>&1 8>&- 9>&- &
}

main() {
    SUITE=
    local nodes=1 n todo=() start=$SECONDS built
    while (($# > 0)); do
        case $1 in
            --suite) SUITE=${2:?--suite needs a name}; check_suite "$SUITE"; shift 2 ;;
            --nodes) nodes=${2:?--nodes needs a number}; shift 2 ;;
            -h | --help) up_usage; exit 0 ;;
            *) up_usage >&2; usage_error "lab up: $1 is not known" ;;
        esac
    done
    [[ $nodes =~ ^[0-9]+$ ]] && ((nodes >= 1 && nodes <= MAX_NODES)) || usage_error "--nodes takes a number from 1 to $MAX_NODES"
    need_root
    need lab
    mkdir -p "$RUN"
    exec 9>"$RUN.lock"
    flock -n 9 || die "another './dev lab up' or 'down' of this lab is at work"
    if lab_alive; then
        local running
        running=$(<"$RUN/suite")
        SUITE=${SUITE:-$running}
        [[ $SUITE == "$running" ]] || die "the lab runs $running; './dev lab down' first, or name another lab with XTL_LAB=NAME"
    fi
    SUITE=${SUITE:-$DEFAULT_SUITE}
    # A lab that runs keeps its images: they must not be rebuilt under it.
    # A build ends with this script, even when that is killed.
    lab_alive || setpriv --pdeathsig KILL "$LAB_DIR/build.sh" --suite "$SUITE" 9>&-
    built=$((SECONDS - start))

    lab_alive || rm -rf "${RUN:?}"/*
    for ((n = 1; n <= nodes; n++)); do alive "$RUN/$n/qemu.pid" || todo+=("$n"); done
    if ((${#todo[@]} > 0)); then
        local free
        free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
        ((free > ${#todo[@]} * (NODE_MEMORY_MB + 1024))) ||
            die "${#todo[@]} nodes need $((${#todo[@]} * (NODE_MEMORY_MB + 1024))) MiB of memory, $free MiB are free"
    fi
    # Nodes that ran before this call survive its death; a lab that this call made does not.
    lab_alive || start_guard
    lab_alive || start_keeper
    for n in "${todo[@]}"; do start_node "$n"; done
    progress "booting ${#todo[@]} node(s), $SUITE" "$RUN/up.log" wait_for_nodes "${todo[@]}"
    touch "$RUN/up.done"
    say "lab '$LAB_NAME' is up: $nodes node(s), $SUITE; images $built s, all $((SECONDS - start)) s"
}

main "$@"
