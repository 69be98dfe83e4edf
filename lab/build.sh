#!/usr/bin/env bash
# Builds the lab's images for one suite. Each stage has a key, the hash of its inputs, and is made anew only when
# the key differs from that of the stage that is there:
#   root     debootstrap's tree of a Dom0
#   dom0     hypervisor, kernel, initramfs and dom0.img made from the tree and lab/dom0
#   payload  guest initramfs and .NET runtime, a small second disk, from lab/guest and the installed runtime
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$LAB_DIR/packages.sh"

build_usage() {
    cat <<'EOF'
usage: ./dev lab build [--suite bookworm|trixie] [--force]

Makes the images that './dev lab up' boots: a hypervisor, a Dom0 and a guest.
  --suite S   bookworm: Xen 4.17 with Linux 6.1 (the default); trixie: Xen 4.20 with Linux 6.12
  --force     make every stage anew, also where no input changed
EOF
}

# Root of each suite's cache; set by main.
CACHE=

key_of() { sha256sum | cut -c1-32; }
fresh() { [[ -r $CACHE/$1.key && $(<"$CACHE/$1.key") == "$2" ]]; }

# In a private mount and PID namespace: whatever way the build ends, nothing stays mounted and nothing keeps
# running. setpriv ends the namespace with this script, of which it has to be a child: progress runs it in a subshell,
# which it replaces.
contained() { exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc "$@"; }

build_root() {
    local key
    key=$({ echo "$SUITE 1"; dom0_packages "$SUITE"; } | key_of)
    fresh root "$key" && return
    rm -rf "$CACHE/root" "$CACHE"/*.key
    mkdir -p "$CACHE/root" "$STATE/debs"
    # Own initramfs instead of the distribution's: INITRD=No spares making it.
    progress "$SUITE: installing a Dom0 with debootstrap (some minutes)" "$CACHE/root.log" \
        contained env INITRD=No debootstrap --variant=minbase --cache-dir="$STATE/debs" \
        --include="$(dom0_packages "$SUITE" | tr ' ' ',')" "$SUITE" "$CACHE/root"
    rm -rf "$CACHE/root/var/cache/apt/archives" "$CACHE/root/var/lib/apt/lists"
    echo "$key" >"$CACHE/root.key"
}

kernel_release() { basename "$CACHE"/root/boot/vmlinuz-* | sed s/vmlinuz-//; }

# copy_modules DEST MODULE...: the modules with what they depend on, uncompressed, and in DEST/modules the order to
# load them in.
copy_modules() {
    local dest=$1 kver file name
    shift
    kver=$(kernel_release)
    mkdir -p "$dest/lib/modules"
    : >"$dest/modules"
    modprobe -d "$CACHE/root" -S "$kver" --all --show-depends "$@" | awk '$1 == "insmod" { print $2 }' | awk '!seen[$0]++' |
        while read -r file; do
            name=$(basename "$file")
            name=${name%.xz}
            case $file in
                *.xz) xz -dc "$file" >"$dest/lib/modules/$name" ;;
                *) cp "$file" "$dest/lib/modules/$name" ;;
            esac
            echo "/lib/modules/$name" >>"$dest/modules"
        done
}

pack_initramfs() { (cd "$1" && find . -print0 | cpio --null --create --format=newc --owner=0:0 --quiet | gzip -1) >"$2"; }

make_dom0() {
    local tree=$CACHE/initramfs root=$CACHE/root
    rm -rf "$tree" "$CACHE/dom0.img"
    mkdir -p "$tree"/{bin,dev,proc,sys,newroot}
    cp "$root/bin/busybox" "$tree/bin/busybox"
    install -m 755 "$LAB_DIR/dom0/initramfs-init" "$tree/init"
    copy_modules "$tree" virtio_pci virtio_blk ext4 crc32c_generic
    pack_initramfs "$tree" "$CACHE/initrd.gz"
    rm -rf "$tree"
    cp "$root"/boot/vmlinuz-* "$CACHE/vmlinuz"
    gzip -dc "$root"/boot/xen-*-amd64.gz >"$CACHE/xen"

    mkdir -p "$root/usr/lib/xtl-lab" "$root/root/.ssh" "$root/opt/xtl" "$root/usr/share/dotnet" "$root/etc/dotnet" \
        "$root/var/log/xen/console" "$root/var/lib/xtl-lab"
    ln -sf /bin/busybox "$root/usr/lib/xtl-lab/init"
    install -m 755 "$LAB_DIR/dom0/rcS" "$root/usr/lib/xtl-lab/rcS"
    install -m 644 "$LAB_DIR/dom0/inittab" "$root/etc/inittab"
    install -m 600 "$STATE/ssh/key.pub" "$root/root/.ssh/authorized_keys"
    install -m 644 "$LAB_DIR/dom0/sshd_config" "$root/etc/ssh/sshd_config"
    echo /usr/share/dotnet >"$root/etc/dotnet/install_location"
    # 3 GiB, sparse: 1 GiB of programs, the rest for the images and disks of a test.
    truncate -s 3G "$CACHE/dom0.img.tmp"
    mkfs.ext4 -q -F -L xtl-dom0 -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$CACHE/dom0.img.tmp"
    mv "$CACHE/dom0.img.tmp" "$CACHE/dom0.img"
}

build_dom0() {
    local key
    key=$({ cat "$CACHE/root.key" "$LAB_DIR"/dom0/* "$STATE/ssh/key.pub"; declare -f make_dom0 copy_modules pack_initramfs; } | key_of)
    fresh dom0 "$key" && return
    export -f make_dom0 copy_modules pack_initramfs kernel_release
    export CACHE LAB_DIR STATE
    progress "$SUITE: making the Dom0 image" "$CACHE/dom0.log" contained bash -euo pipefail -c make_dom0
    echo "$key" >"$CACHE/dom0.key"
}

# unpack_kernel FROM TO: the ELF image inside a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset,
# payload_length). Xen's toolstack would unpack it for each guest, which takes ten times as long in the emulator. What
# is packed by something else than xz is copied as it is; zstd unpacks fast enough.
unpack_kernel() {
    local sectors offset length start
    sectors=$(od -An -tu1 -j 0x1f1 -N1 "$1")
    offset=$(od -An -tu4 -j 0x248 -N4 "$1")
    length=$(od -An -tu4 -j 0x24c -N4 "$1")
    start=$(((sectors + 1) * 512 + offset))
    if [[ $(od -An -tx1 -j "$start" -N6 "$1" | tr -d ' ') == fd377a585a00 ]]; then
        # Behind the packed data its unpacked length stands in four bytes.
        head -c "$((start + length - 4))" "$1" | tail -c "$((length - 4))" | xz -dc >"$2"
    else
        cp "$1" "$2"
    fi
}

make_payload() {
    local tree=$CACHE/guest-tree image=$CACHE/payload-tree dotnet
    rm -rf "$tree" "$image"
    mkdir -p "$tree"/{bin,dev,proc,sys} "$image/dotnet/shared" "$image/guest"
    cp "$CACHE/root/bin/busybox" "$tree/bin/busybox"
    install -m 755 "$LAB_DIR/guest/init" "$tree/init"
    local program
    for program in stepper bank scribe; do
        musl-gcc -static -O2 -std=gnu11 -Wall -Wextra -Werror -o "$tree/bin/$program" "$LAB_DIR/guest/$program.c"
    done
    copy_modules "$tree" xen-blkfront xen-netfront 9p 9pnet_xen
    pack_initramfs "$tree" "$image/guest/initrd"
    unpack_kernel "$CACHE/vmlinuz" "$image/guest/vmlinuz"
    # For a demo on a host that is a Dom0 itself.
    rm -rf "$CACHE/guest"
    cp -r "$image/guest" "$CACHE/guest"
    dotnet=$(dotnet_root)
    cp "$dotnet/dotnet" "$image/dotnet/"
    cp -r "$dotnet/host" "$image/dotnet/"
    cp -r "$dotnet/shared/Microsoft.NETCore.App" "$dotnet/shared/Microsoft.AspNetCore.App" "$image/dotnet/shared/"
    truncate -s 512M "$CACHE/payload.img.tmp"
    mkfs.ext4 -q -F -L xtl-payload -O ^has_journal -d "$image" "$CACHE/payload.img.tmp"
    mv "$CACHE/payload.img.tmp" "$CACHE/payload.img"
    rm -rf "$tree" "$image"
}

dotnet_root() { dirname "$(readlink -f "$(command -v dotnet)")"; }

build_payload() {
    local key
    key=$({ cat "$CACHE/dom0.key" "$LAB_DIR"/guest/*; dotnet --list-runtimes; declare -f make_payload unpack_kernel; } | key_of)
    fresh payload "$key" && return
    export -f make_payload unpack_kernel dotnet_root copy_modules pack_initramfs kernel_release
    export CACHE LAB_DIR
    progress "$SUITE: making the guest image" "$CACHE/payload.log" contained bash -euo pipefail -c make_payload
    echo "$key" >"$CACHE/payload.key"
}

main() {
    SUITE=$DEFAULT_SUITE
    local force=
    while (($# > 0)); do
        case $1 in
            --suite) SUITE=${2:?--suite needs a name}; shift 2 ;;
            --force) force=1; shift ;;
            -h | --help) build_usage; exit 0 ;;
            *) build_usage >&2; usage_error "lab build: $1 is not known" ;;
        esac
    done
    check_suite "$SUITE"
    need_root
    need lab
    CACHE=$STATE/cache/$SUITE
    mkdir -p "$CACHE" "$STATE/ssh"
    # One build at a time; the lock is closed in every child that outlives this script.
    exec 8>"$STATE/build.lock"
    flock 8
    [[ -r $STATE/ssh/key ]] || ssh-keygen -q -t ed25519 -N '' -C xtl-lab -f "$STATE/ssh/key"
    [[ -z $force ]] || rm -f "$CACHE"/*.key
    local start=$SECONDS
    build_root
    build_dom0
    build_payload
    say "$SUITE: images are ready ($((SECONDS - start)) s)"
}

main "$@"
