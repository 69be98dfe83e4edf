#!/usr/bin/env bash
# Guests of a lab node, by name.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

guest_usage() {
    cat <<'EOF'
usage: ./dev lab guest NODE create NAME [--type pvh|pv|hvm] [--memory MIB] [--vcpus N] [--disk MIB] [--vif | --bridge NAME]
                                   [--on-reboot ACTION] [--app stepper|bank] [PARAMETER=VALUE...]
       ./dev lab guest NODE destroy NAME
       ./dev lab guest NODE log NAME [--follow]
       ./dev lab guest NODE list

create   makes a guest and returns when it is up
         --type    pvh (the default), pv, or hvm: one with QEMU as its device model, which takes minutes to boot
         --memory  96 MiB where nothing else is said, which is the least that the kernel needs; 160 of an HVM guest
         --disk    a disk of so many MiB, /dev/xvda in the guest
         --vif     a network card on the node's bridge; the guest's address is printed
         --bridge  the same on another bridge; xtlbr0 is one that other nodes reach through their daemons only
         --on-reboot  what becomes of it when it reboots: destroy (the default) or restart
         --app     the program that the guest runs: stepper (the default) or bank
         Parameters go to the program: stepper.pages=2048, bank.peers=1@10.77.1.3; lab/guest/*.c lists them.
destroy  ends the guest and removes its disk
log      what the guest printed on its console
EOF
}

remote() { node_ssh "$NODE" "root@$(node_ip "$NODE")" "$(shell_words "$@")"; }

create() {
    local type=pvh memory='' vcpus=1 disk=0 vif='' app=stepper reboot=destroy extra=()
    while (($# > 0)); do
        case $1 in
            --type) type=${2:?}; shift 2 ;;
            --memory) memory=${2:?}; shift 2 ;;
            --vcpus) vcpus=${2:?}; shift 2 ;;
            --disk) disk=${2:?}; shift 2 ;;
            --vif) vif=xenbr0; shift ;;
            --bridge) vif=${2:?}; shift 2 ;;
            --app) app=${2:?}; shift 2 ;;
            --on-reboot) reboot=${2:?}; shift 2 ;;
            --) shift ;;
            -*) usage_error "lab guest create: $1 is not known" ;;
            *=*) extra+=("$1"); shift ;;
            *) usage_error "lab guest create: '$1' is no PARAMETER=VALUE" ;;
        esac
    done
    [[ $type == pvh || $type == pv || $type == hvm ]] || usage_error "--type is pvh, pv or hvm, not '$type'"
    # An HVM guest has QEMU's video memory in it, and a kernel that has to unpack itself.
    [[ -n $memory ]] || if [[ $type == hvm ]]; then memory=160; else memory=96; fi
    [[ $memory =~ ^[0-9]+$ ]] && ((memory >= 96)) || usage_error "--memory is a number of MiB from 96 on, which the kernel needs, not '$memory'"
    [[ $disk =~ ^[0-9]+$ && $vcpus =~ ^[1-9][0-9]*$ ]] || usage_error "--disk and --vcpus are numbers"
    [[ $reboot == destroy || $reboot == restart ]] || usage_error "--on-reboot is destroy or restart, not '$reboot'"
    [[ $app == stepper || $app == bank ]] || usage_error "--app is stepper or bank, not '$app'"
    # What follows runs in the Dom0; its words are arguments, so nothing in them is interpreted.
    remote bash --norc -euo pipefail -c '
        name=$1 type=$2 memory=$3 vcpus=$4 disk=$5 vif=$6 app=$7 node=$8 reboot=$9
        shift 9
        dir=/var/lib/xtl-lab
        if [[ -e $dir/$name.cfg ]] && xl domid "$name" >/dev/null 2>&1; then
            echo "node $node has a guest $name already" >&2
            exit 1
        fi
        rm -f "/var/log/xen/console/guest-$name.log" "$dir/$name".{cfg,img}
        address='' nics=''
        if [[ -n $vif ]]; then
            for ((host = 2; host < 255; host++)); do
                address=10.77.$node.$host
                grep -qsF "xtl.ip=$address " "$dir"/*.cfg || break
            done
            nics="\"bridge=$vif,mac=$(printf "00:16:3e:77:%02x:%02x" "$node" "$host")\""
        fi
        kernel=$dir/guest/vmlinuz more=''
        if [[ $type == hvm ]]; then
            # QEMU starts no unpacked kernel: the same one, as Debian packs it.
            kernel=/boot/vmlinuz-$(uname -r) more="vnc = 0"
        fi
        disks=''
        if ((disk > 0)); then
            truncate -s "${disk}M" "$dir/$name.img"
            disks="\"format=raw,vdev=xvda,access=rw,backendtype=phy,target=$dir/$name.img\""
        fi
        cat >"$dir/$name.cfg" <<EOF
name = "$name"
type = "$type"
kernel = "$kernel"
ramdisk = "$dir/guest/initrd"
memory = $memory
vcpus = $vcpus
disk = [$disks]
vif = [$nics]
extra = "console=hvc0 loglevel=2 panic=5 xtl.app=$app ${address:+xtl.ip=$address }$*"
tsc_mode = "native"
on_crash = "preserve"
on_reboot = "$reboot"
$more
EOF
        give_up() { echo "$1" >&2; xl destroy "$name" 2>/dev/null; rm -f "$dir/$name".{cfg,img}; exit 1; }
        log=/var/log/xen/console/guest-$name.log
        for attempt in 1 2 3; do
            xl create -q "$dir/$name.cfg" >&2 || give_up "node $node could not create $name"
            for ((waited = 0; waited < 1200; waited++)); do
                if grep -qs "^guest: ready" "$log"; then
                    echo "$name${address:+ $address}"
                    exit
                fi
                xl domid "$name" >/dev/null 2>&1 || break
                sleep 0.5
            done
            ((waited < 1200)) || give_up "$name did not come up within ten minutes; its console: $(tail -n 5 "$log")"
            # docs/lab.md: the emulator now and then loses the page tables of a PVH guest at its boot.
            echo "$name ended at boot (attempt $attempt of 3): $(xl dmesg | grep -a "Triple fault" | tail -n 1)" >&2
        done
        give_up "$name did not come up in three attempts"
    ' create "$NAME" "$type" "$memory" "$vcpus" "$disk" "$vif" "$app" "$NODE" "$reboot" "${extra[@]}"
}

destroy() {
    (($# == 0)) || usage_error "lab guest destroy takes one name"
    remote bash --norc -euo pipefail -c '
        dir=/var/lib/xtl-lab
        [[ -e $dir/$1.cfg ]] || { echo "there is no guest $1" >&2; exit 1; }
        if xl domid "$1" >/dev/null 2>&1; then xl destroy "$1"; fi
        rm -f "$dir/$1".{cfg,img}
    ' destroy "$NAME"
}

show_log() {
    local tail=(cat)
    case ${1:-} in
        '') ;;
        --follow | -f) tail=(tail -n +1 -f) ;;
        *) usage_error "lab guest log: $1 is not known" ;;
    esac
    remote "${tail[@]}" "/var/log/xen/console/guest-$NAME.log"
}

case ${1:-} in -h | --help) guest_usage; exit 0 ;; esac
(($# >= 2)) || { guest_usage >&2; exit "$EX_USAGE"; }
need_root
NODE=$1 command=$2
shift 2
check_node "$NODE"
if [[ $command == list ]]; then
    remote bash --norc -c 'cd /var/lib/xtl-lab && for f in *.cfg; do [[ ! -e $f ]] || echo "${f%.cfg}"; done'
    exit
fi
NAME=${1:-}
[[ $NAME =~ ^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}$ ]] || usage_error "a guest's NAME is made of letters, digits, '_', '.' and '-'"
shift
case $command in
    create) create "$@" ;;
    destroy) destroy "$@" ;;
    log) show_log "$@" ;;
    *) guest_usage >&2; usage_error "lab guest: $command is not known" ;;
esac
