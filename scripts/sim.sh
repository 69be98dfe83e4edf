#!/usr/bin/env bash
# The simulator: builds it and passes everything on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need build
mkdir -p "$REPO/artifacts"
progress "building xtlsim" "$REPO/artifacts/build-xtlsim.log" \
    dotnet build "$REPO/simulation/xtlsim/xtlsim.csproj" -c Release -v quiet --nologo
exec "$REPO/simulation/xtlsim/bin/Release/net10.0/linux-x64/xtlsim" "$@"
