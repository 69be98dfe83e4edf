# shellcheck shell=bash
# What the Dom0 root of each suite is made of, and which release of Xen that is.
dom0_packages() {
    local xen
    case $1 in
        bookworm) xen=4.17 ;;
        trixie) xen=4.20 ;;
    esac
    echo "linux-image-amd64 xen-hypervisor-$xen-amd64 xen-utils-$xen xenstore-utils libxen-dev" \
        "kmod udev iproute2 bridge-utils ethtool tcpdump iperf3 dmsetup thin-provisioning-tools openssh-server" \
        "rsync busybox-static procps psmisc strace python3 liblz4-1 lz4 attr qemu-system-xen"
}
