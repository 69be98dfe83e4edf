#!/usr/bin/env bash
# A model node, called by gRPC clients that are not .NET's: over TCP, and over its Unix socket with each kind of :authority.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
    '') ;;
    -h | --help)
        cat <<'EOF'
usage: ./dev peers

Calls a daemon with a model hypervisor by @grpc/grpc-js and by 'buf curl' (a client in Go), the newest that npm has, over TCP and
over its Unix socket, also with the socket's path as :authority. The last line is 'peers: OK'. It needs Node.js and npm; what it
installs is in artifacts/peers. ('./dev test' has Python's gRPC library as a peer, and needs no npm.)
EOF
        exit 0
        ;;
    *) usage_error "peers takes no arguments" ;;
esac
for tool in node npm; do
    command -v "$tool" >/dev/null || die "there is no '$tool': install Node.js 18 or later with npm (apt-get install nodejs npm)"
done
need build
OUT=$REPO/artifacts/peers
mkdir -p "$OUT"
progress "building the daemon" "$OUT/build.log" dotnet build "$REPO/src/xtlckptd" -c Release -v quiet --nologo
progress "npm install" "$OUT/npm.log" npm install --no-audit --no-fund --no-save --prefix "$OUT" \
    @grpc/grpc-js@latest @grpc/proto-loader@latest @bufbuild/buf@latest

folder=$(mktemp -d)
pid=''
tidy() {
    [[ -z $pid ]] || { kill -TERM "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
    rm -rf "$folder"
}
trap tidy EXIT
# A loopback address that nobody else listens on.
address=127.$((2 + ($$ >> 8) % 250)).$(($$ & 255)).10:7400
cat >"$folder/node.json" <<EOF
{
  "node": "alpha", "store": "$folder/store", "state": "$folder/state", "controlSocket": "$folder/control.sock",
  "controlListen": "$address", "basicInterval": "off", "staging": "16M",
  "hypervisor": "model", "model": {"guests": 1, "memory": "16M", "stepsPerSecond": 20}
}
EOF
"$REPO/src/xtlckptd/bin/Release/net10.0/linux-x64/xtlckptd" --config "$folder/node.json" >"$folder/log" 2>&1 </dev/null &
pid=$!
for _ in {1..300}; do
    ! grep -q Serving "$folder/log" || break
    kill -0 "$pid" 2>/dev/null || die "the daemon ended: $(tail -n 3 "$folder/log")"
    sleep 0.1
done

NODE_PATH=$OUT/node_modules timeout 120 node "$REPO/tests/Rpc.Tests/Peer/peer.js" "$REPO/proto" "$address" "$folder/control.sock"
buf() { timeout 60 "$OUT/node_modules/.bin/buf" curl --protocol grpc --http2-prior-knowledge "$@"; }
say "buf $("$OUT/node_modules/.bin/buf" --version)"
for reflection in grpc-v1 grpc-v1alpha; do
    for transport in TCP 'Unix socket'; do
        where=(--unix-socket "$folder/control.sock" http://localhost)
        [[ $transport != TCP ]] || where=("http://$address")
        buf --reflect --reflect-protocol "$reflection" -d '{}' "${where[@]::${#where[@]}-1}" \
            "${where[-1]}/xtlckpt.v1.NodeControl/GetNode" >"$folder/answer" 2>"$folder/error" || true
        grep -q '"name": "alpha"' "$folder/answer" || die "buf curl, $reflection, $transport: $(head -n 3 "$folder/error")"
        echo "buf curl, reflection $reflection, $transport: GetNode"
    done
done
echo "peers: OK"
