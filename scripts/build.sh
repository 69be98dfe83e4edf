#!/usr/bin/env bash
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
    '') ;;
    -h | --help)
        cat <<'EOF'
usage: ./dev build

Builds all projects (Release). Warnings are errors.
EOF
        exit 0
        ;;
    *) usage_error "build takes no arguments" ;;
esac
need build
dotnet build "$REPO/XenTwoLevelCkpt.sln" -c Release -v quiet --nologo
