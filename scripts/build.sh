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

# The SDK that packages.lock.json was made with. Some packages are of the SDK's own version: with another SDK the lock files
# differ in those, and a check would fail for no change of the project's.
LOCKED_WITH=10.0.401
locked=()
if [[ ${CI:-} == true && $(dotnet --version) == "$LOCKED_WITH" ]]; then locked=(-p:RestoreLockedMode=true); fi
dotnet build "$REPO/XenTwoLevelCkpt.sln" -c Release -v quiet --nologo "${locked[@]}"
