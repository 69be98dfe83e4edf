#!/usr/bin/env bash
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
    '') ;;
    -h | --help)
        cat <<'EOF'
usage: ./dev setup

Installs the Debian packages that building, testing and the lab need, where it may (as root, or with a sudo that
asks for no password); otherwise it names the command that would. A .NET 10 SDK has to be there already.
EOF
        exit 0
        ;;
    *) usage_error "setup takes no arguments" ;;
esac
need build test lab
say "everything is there: .NET SDK $(dotnet --version), $(qemu-system-x86_64 --version | head -n 1)"
