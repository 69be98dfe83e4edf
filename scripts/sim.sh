#!/usr/bin/env bash
# The simulator: builds it and passes everything on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need build
progress "building xtlsim" "$(mktemp)" \
    dotnet build "$REPO/simulation/xtlsim/xtlsim.csproj" -c Release -v quiet --nologo
exec "$REPO/simulation/xtlsim/bin/Release/net10.0/linux-x64/xtlsim" "$@"
