#!/usr/bin/env bash
# Whole clusters under a virtual clock: builds the simulation and passes everything on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need build
mkdir -p "$REPO/artifacts"
progress "building the simulation" "$REPO/artifacts/build-simulation.log" \
    dotnet build "$REPO/tests/ClusterSimulation/ClusterSimulation.csproj" -c Release -v quiet --nologo
exec "$REPO/tests/ClusterSimulation/bin/Release/net10.0/linux-x64/XenTwoLevelCkpt.ClusterSimulation" "$@"
