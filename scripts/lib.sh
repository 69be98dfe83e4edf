# shellcheck shell=bash
# Shared by ./dev and its sub-scripts: messages, progress, package checks.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# sysexits(3): wrong use, a missing service, a failure of the operating system, no permission.
EX_USAGE=64
EX_UNAVAILABLE=69
export EX_USAGE EX_UNAVAILABLE

if [[ -t 2 ]]; then
    BOLD=$'\e[1m' RED=$'\e[31m' RESET=$'\e[0m'
else
    BOLD='' RED='' RESET=''
fi

say() { printf '%s==>%s %s\n' "$BOLD" "$RESET" "$*" >&2; }
die() { printf '%sdev: error:%s %s\n' "$RED" "$RESET" "$*" >&2; exit 1; }
usage_error() { printf '%sdev: error:%s %s\n' "$RED" "$RESET" "$*" >&2; exit "$EX_USAGE"; }

# progress DESCRIPTION LOG CMD...: runs CMD with its output in LOG; on a terminal shows that it moves, in a pipe
# only that it began. On failure the end of the log is printed.
progress() {
    local what=$1 log=$2 start=$SECONDS pid rc=0
    shift 2
    # In the background also where nothing is shown: what CMD execs is a child of this shell, and can be tied to it.
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    if [[ -t 2 ]]; then
        while kill -0 "$pid" 2>/dev/null; do
            printf '\r\e[K%s==>%s %s  %ds  %.60s' "$BOLD" "$RESET" "$what" $((SECONDS - start)) \
                "$(tail -c 200 "$log" 2>/dev/null | tr -d '\r' | tail -n 1)" >&2
            sleep 0.5
        done
        printf '\r\e[K%s==>%s %s  %ds\n' "$BOLD" "$RESET" "$what" $((SECONDS - start)) >&2
    else
        say "$what"
    fi
    wait "$pid" || rc=$?
    if ((rc != 0)); then
        tail -n 25 "$log" >&2
        die "$what failed with exit code $rc; the whole output is in $log"
    fi
}

# publish PROJECT OUT [OPTION...]: publishes a program into OUT.
publish() { dotnet publish "$1" -c Release -o "$2" -v quiet --nologo "${@:3}"; }

# The Debian packages that each kind of work needs.
PACKAGES_BUILD=(gcc libc6-dev linux-libc-dev libxen-dev liblz4-1 liblz4-dev shellcheck python3-grpcio python3-hpack python3-protobuf
    protobuf-compiler libprotobuf-dev)
# A browser for the tests of the daemon's page, and letters for it.
PACKAGES_TEST=(chromium fonts-dejavu-core)
PACKAGES_LAB=(qemu-system-x86 qemu-utils debootstrap e2fsprogs cpio gzip xz-utils kmod musl-tools busybox-static
    openssh-client rsync iproute2 util-linux socat procps)
PACKAGES_NET=(iproute2 procps iperf3 socat)

missing_packages() {
    dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        awk '$2 == "installed" { print $1 }' | sort -u | comm -13 - <(printf '%s\n' "$@" | sort -u)
}

# need build|test|lab|net...: installs what is missing for these kinds of work, or says what would have to be installed.
need() {
    local kind missing=() wanted=() elevate=()
    for kind in "$@"; do
        case $kind in
            build) wanted+=("${PACKAGES_BUILD[@]}") ;;
            test) wanted+=("${PACKAGES_TEST[@]}") ;;
            lab) wanted+=("${PACKAGES_LAB[@]}") ;;
            net) wanted+=("${PACKAGES_NET[@]}") ;;
        esac
    done
    command -v dpkg-query >/dev/null ||
        die "this is no Debian system; the packages ${wanted[*]} (or their like) have to be installed by hand"
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    if ((${#missing[@]} > 0)); then
        if ((EUID != 0)); then
            if sudo -n true 2>/dev/null; then
                elevate=(sudo -n)
            else
                die "these packages are missing; install them and try again: sudo apt-get install ${missing[*]}"
            fi
        fi
        mkdir -p "$REPO/artifacts"
        progress "apt-get update" "$REPO/artifacts/apt-update.log" "${elevate[@]}" apt-get update
        progress "apt-get install ${missing[*]}" "$REPO/artifacts/apt-install.log" "${elevate[@]}" \
            env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    fi
    need_dotnet
}

need_dotnet() {
    if ! command -v dotnet >/dev/null; then
        die "a .NET 10 SDK is needed and there is no 'dotnet' on PATH; https://dotnet.microsoft.com/download tells how to get one"
    fi
    dotnet --list-sdks | grep -q '^10\.' ||
        die "a .NET 10 SDK is needed; this machine has only: $(dotnet --list-sdks | tr '\n' ';')"
    export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
}

# guests_lost: how often the first node's Xen has told of a guest that the emulator lost (docs/lab.md).
guests_lost() { "$REPO/dev" lab logs 1 | grep -a -c "Triple fault" || true; }
