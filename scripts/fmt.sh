#!/usr/bin/env bash
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

check=
case ${1:-} in
    '') ;;
    --check) check=1 ;;
    -h | --help)
        cat <<'EOF'
usage: ./dev fmt [--check]

Formats the C# code. With --check nothing is changed: it fails where the formatter would change something or
shellcheck finds something.
EOF
        exit 0
        ;;
    *) usage_error "fmt: $1 is not known" ;;
esac
need build
cd "$REPO"
if [[ -z $check ]]; then
    dotnet format XenTwoLevelCkpt.sln
else
    dotnet format XenTwoLevelCkpt.sln --verify-no-changes
    shellcheck -x dev .ci/run scripts/*.sh lab/*.sh lab/dom0/rcS
    say "the formatter and shellcheck find nothing to change"
fi
