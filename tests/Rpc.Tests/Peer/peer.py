"""Calls a node with Python's gRPC library, knowing the .proto files and nothing else.

usage: peer.py TARGET PROTO_DIRECTORY [daemon|fake [AUTHORITY]]

With 'daemon' the node is a real one with two guests. AUTHORITY is what is sent as :authority, in place of the library's own.

Prints one JSON object a line: what was called, with what options, and what came of it.
"""

import json
import os
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

FILES = [
    "xtlckpt/v1/node_control.proto",
    "xtlckpt/v1/node_channel.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
]

# What hangs is found, not measured.
PATIENCE = 120


class Contract:
    """Messages and services of a set of files."""

    def __init__(self, files):
        self.pool = descriptor_pool.DescriptorPool()
        for file in files:
            self.pool.Add(file)

    @staticmethod
    def compile(directory):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "set")
            subprocess.run(
                ["protoc", "-I", directory, "--include_imports", "--descriptor_set_out=" + out, *FILES], check=True)
            with open(out, "rb") as file:
                return Contract(descriptor_pb2.FileDescriptorSet.FromString(file.read()).file)

    def message(self, descriptor):
        if isinstance(descriptor, str):
            descriptor = self.pool.FindMessageTypeByName(descriptor)
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self.pool).GetPrototype(descriptor)

    def service(self, name):
        return self.pool.FindServiceByName(name)


class Peer:
    """Calls methods, and tells what came of it."""

    def __init__(self, channel, contract):
        self.channel = channel
        self.contract = contract

    def multi_callable(self, service, name):
        method = self.contract.service(service).FindMethodByName(name)
        proto = descriptor_pb2.ServiceDescriptorProto()
        self.contract.service(service).CopyToProto(proto)
        streams = next((m.client_streaming, m.server_streaming) for m in proto.method if m.name == name)
        kind = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, False): self.channel.stream_unary,
            (True, True): self.channel.stream_stream,
        }[streams]
        request = self.contract.message(method.input_type)
        response = self.contract.message(method.output_type)
        call = kind(
            "/%s/%s" % (service, name),
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=response.FromString)
        return call, request, streams

    def call(self, service, name, request=None, requests=None, most=None, tag=None, timeout=PATIENCE, **options):
        call, message, streams = self.multi_callable(service, name)
        told = {"tag": tag or name, "method": name, "responses": [], "code": "OK", "message": "", "details": []}
        try:
            argument = json_format.ParseDict(request or {}, message())
            if requests is not None:
                argument = iter([json_format.ParseDict(r, message()) for r in requests])
            if streams[1]:
                answer = call(argument, timeout=timeout, **options)
                for response in answer:
                    told["responses"].append(json_format.MessageToDict(response))
                    if len(told["responses"]) == most:
                        answer.cancel()
                        break
            else:
                response, answer = call.with_call(argument, timeout=timeout, **options)
                told["responses"].append(json_format.MessageToDict(response))
            if most is None:
                told["trailers"] = self.table(answer.trailing_metadata())
        except grpc.RpcError as error:
            told["code"] = error.code().name
            told["message"] = error.details()
            told["trailers"] = self.table(error.trailing_metadata())
            for key, value in error.trailing_metadata() or ():
                if key == "grpc-status-details-bin":
                    status = self.contract.message("google.rpc.Status").FromString(value)
                    for detail in status.details:
                        info = self.contract.message("google.rpc.ErrorInfo")()
                        if detail.Unpack(info):
                            told["details"].append(json_format.MessageToDict(info))
        print(json.dumps(told), flush=True)
        return told

    @staticmethod
    def table(metadata):
        return {k: v.hex() if isinstance(v, bytes) else v for k, v in metadata or ()}


def nodes(peer):
    control = "xtlckpt.v1.NodeControl"
    requests = {
        "Checkpoint": {"label": "größe", "domains": ["a"], "memoryOnly": True, "suspendTimeout": "10s"},
        "ShowCheckpoint": {"checkpoint": "latest"},
        "Restore": {"checkpoint": "latest", "newName": "x"},
        "Recover": {"line": "42", "incarnation": "4"},
    }
    for method in peer.contract.service(control).methods:
        # The events never end: as many as there are.
        most = 8 if method.name == "WatchEvents" else None
        peer.call(control, method.name, requests.get(method.name), most=most)
    peer.call(control, "GetNode", tag="metadata", metadata=(("x-echo", "text"), ("x-echo-bin", b"\x00\xff")))
    peer.call(control, "ShowCheckpoint", {"checkpoint": "none"}, tag="not found")
    peer.call(control, "Checkpoint", {"label": "x" * 65}, tag="invalid")
    peer.call(control, "Recover", {"line": "0"}, tag="deadline", timeout=0.2)
    peer.call(control, "ShowCheckpoint", {"checkpoint": "x" * 5000000}, tag="too long")
    peer.call(
        control, "ShowCheckpoint", {"checkpoint": "x" * 100000}, tag="compressed", compression=grpc.Compression.Gzip)
    unknown = peer.channel.unary_unary("/xtlckpt.v1.NodeControl/None")
    try:
        unknown(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        print(json.dumps({"tag": "unknown", "code": error.code().name}))


def daemon(peer):
    control = "xtlckpt.v1.NodeControl"
    peer.call(control, "GetNode")
    domains = peer.call(control, "ListDomains")["responses"][0]["domains"]
    guest = next(d["name"] for d in domains if d.get("id"))
    peer.call(control, "SetDomain", {"domain": guest, "policy": {"whenUnable": "WHEN_UNABLE_FAIL"}})
    peer.call(control, "Checkpoint", {"label": "größe", "memoryOnly": True, "suspendTimeout": "10s"})
    peer.call(control, "ListCheckpoints", {"limit": 5})
    peer.call(control, "ShowCheckpoint", {"checkpoint": "größe"})
    peer.call(control, "Verify")
    peer.call(control, "Restore", {"checkpoint": "latest", "domains": [guest], "newName": "copy"})
    peer.call(control, "WatchEvents", {"after": "0"}, most=4)
    peer.call(control, "ShowCheckpoint", {"checkpoint": "none"}, tag="not found")
    peer.call(control, "Checkpoint", {"label": "x" * 65}, tag="label")
    peer.call(control, "Checkpoint", {"domains": ["none"]}, tag="domain")
    peer.call(control, "Restore", {"checkpoint": "latest"}, tag="exists")
    peer.call(control, "Recover", {"line": "1"}, tag="incarnation")
    peer.call(control, "Recover", {"incarnation": "1"}, tag="line")
    peer.call(control, "Recover", {"line": "1", "incarnation": "1"})
    peer.call(control, "CollectGarbage", {"line": "99"}, tag="garbage")
    peer.call(control, "CollectGarbage", {"line": "1"})


def channel(peer):
    peer.call("xtlckpt.v1.NodeChannel", "Exchange", requests=[
        {"hello": {"protocolVersion": 1, "node": "alpha", "clusterId": "c"}},
        {"batch": {"sn": "5", "sequence": "1", "frameCount": 1, "frames": "AAAAAA=="}},
        {"heartbeat": {"sn": "6"}},
    ])
    peer.call("xtlckpt.v1.NodeChannel", "Exchange", requests=[{"heartbeat": {}}], tag="no hello")


def standard(peer):
    health = "grpc.health.v1.Health"
    peer.call(health, "Check", {})
    peer.call(health, "Check", {"service": "none"}, tag="unknown service")
    peer.call(health, "Watch", {"service": "xtlckpt.v1.NodeControl"}, most=1)
    told = peer.call("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", requests=[
        {"listServices": ""},
        {"fileContainingSymbol": "xtlckpt.v1.NodeControl"},
        {"fileByFilename": "none"},
    ])
    # A client without any file: what reflection tells is enough to call the node.
    files = descriptor_pb2.FileDescriptorSet()
    reflected = json_format.ParseDict(
        told["responses"][1],
        peer.contract.message("grpc.reflection.v1.ServerReflectionResponse")())
    for octets in reflected.file_descriptor_response.file_descriptor_proto:
        files.file.add().ParseFromString(octets)
    bare = Peer(peer.channel, Contract(reversed(files.file)))
    bare.call("xtlckpt.v1.NodeControl", "GetNode", tag="reflected")


def main():
    target, directory = sys.argv[1:3]
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    options += [("grpc.default_authority", authority) for authority in sys.argv[4:]]
    with grpc.insecure_channel(target, options=options) as wire:
        peer = Peer(wire, Contract.compile(directory))
        if sys.argv[3:] == ["daemon"]:
            daemon(peer)
            return
        nodes(peer)
        channel(peer)
        standard(peer)


main()
