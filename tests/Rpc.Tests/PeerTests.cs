using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.HealthCheck;
using Grpc.Reflection.V1;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>A node, called by Python's gRPC library (in Debian python3-grpcio), which knows the .proto files alone.</summary>
public class PeerTests
{
    // Debian's packages are this interpreter's, whatever other one comes first on PATH.
    internal const string Python = "/usr/bin/python3";

    // What gRPC's core sends as :authority of a Unix domain socket since 1.57, and what Go's and Java's libraries send.
    public static TheoryData<Transport, string?> Ways => new()
    {
        { Transport.Tcp, null },
        { Transport.UnixSocket, null },
        { Transport.UnixSocket, "%2Frun%2Fxtlckpt%2Fcontrol.sock" },
        { Transport.UnixSocket, "/run/xtlckpt/control.sock" },
    };

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Python_calls_every_method(Transport transport, string? authority)
    {
        Assert.SkipUnless(
            Run(Python, "-c", "import grpc, google.protobuf").Code == 0 && Run("protoc", "--version").Code == 0
                && File.Exists("/usr/include/google/protobuf/duration.proto"),
            "python3-grpcio, python3-protobuf, protobuf-compiler or libprotobuf-dev is missing; './dev setup' installs them.");
        var node = new FakeNode();
        var health = new HealthServiceImpl();
        health.SetStatus("", HealthCheckResponse.Types.ServingStatus.Serving);
        health.SetStatus("xtlckpt.v1.NodeControl", HealthCheckResponse.Types.ServingStatus.NotServing);
        await using TestHost host = await TestHost.StartNodeAsync(node, health);
        string target = transport == Transport.Tcp ? host.Address.Authority : "unix:" + host.SocketPath;
        (int code, string output, string error) = await Task.Run(() => Run(
            [Python, Path.Combine(AppContext.BaseDirectory, "Peer/peer.py"), target, Path.Combine(AppContext.BaseDirectory, "proto"), "fake",
            .. authority is null ? Array.Empty<string>() : [authority]]));
        Assert.True(code == 0, error);
        Dictionary<string, JsonElement> told = output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => JsonDocument.Parse(line).RootElement)
            .ToDictionary(e => e.GetProperty("tag").GetString()!);

        foreach (MethodDescriptor method in NodeControlReflection.Descriptor.Services[0].Methods)
        {
            Assert.Equal("OK", Code(told[method.Name]));
            Assert.Equal(FakeNode.Answers(method.Name), Responses(told[method.Name], method.OutputType));
        }

        await node.WatchEnded.Task.WaitAsync(TestHost.Patience);
        JudgeFailures(told);
        JudgeStandard(told);
    }

    private static void JudgeFailures(Dictionary<string, JsonElement> told)
    {
        JsonElement trailers = told["metadata"].GetProperty("trailers");
        Assert.Equal("text", trailers.GetProperty("x-echo").GetString());
        Assert.Equal("00ff", trailers.GetProperty("x-echo-bin").GetString());
        Assert.Equal("NOT_FOUND", Code(told["not found"]));
        Assert.Equal("There is no checkpoint 'none': für 100% nicht.", told["not found"].GetProperty("message").GetString());
        JsonElement info = told["not found"].GetProperty("details")[0];
        Assert.Equal("CHECKPOINT", info.GetProperty("reason").GetString());
        Assert.Equal("xtlckpt", info.GetProperty("domain").GetString());
        Assert.Equal("INVALID_ARGUMENT", Code(told["invalid"]));
        Assert.Equal("DEADLINE_EXCEEDED", Code(told["deadline"]));
        Assert.Equal("RESOURCE_EXHAUSTED", Code(told["too long"]));
        Assert.Equal("UNIMPLEMENTED", Code(told["compressed"]));
        Assert.Contains("gzip", told["compressed"].GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Equal("UNIMPLEMENTED", Code(told["unknown"]));
        Assert.Equal("INVALID_ARGUMENT", Code(told["no hello"]));
    }

    private static void JudgeStandard(Dictionary<string, JsonElement> told)
    {
        Assert.Equal(
            [ChannelMessage.KindOneofCase.Hello, ChannelMessage.KindOneofCase.Acknowledgement, ChannelMessage.KindOneofCase.Heartbeat],
            Responses(told["Exchange"], ChannelMessage.Descriptor).Select(m => ((ChannelMessage)m).KindCase));
        Assert.Equal("SERVING", told["Check"].GetProperty("responses")[0].GetProperty("status").GetString());
        Assert.Equal("NOT_FOUND", Code(told["unknown service"]));
        Assert.Equal("NOT_SERVING", told["Watch"].GetProperty("responses")[0].GetProperty("status").GetString());
        List<ServerReflectionResponse> reflected = [.. Responses(told["ServerReflectionInfo"], ServerReflectionResponse.Descriptor)
            .Cast<ServerReflectionResponse>()];
        Assert.Equal(
            [
                "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
                "xtlckpt.v1.NodeChannel", "xtlckpt.v1.NodeControl",
            ],
            reflected[0].ListServicesResponse.Service.Select(s => s.Name).Order(StringComparer.Ordinal));
        Assert.Equal((int)StatusCode.NotFound, reflected[2].ErrorResponse.ErrorCode);
        Assert.Equal(FakeNode.Answers("GetNode"), Responses(told["reflected"], Node.Descriptor));
    }

    private static string? Code(JsonElement told) => told.GetProperty("code").GetString();

    private static IEnumerable<IMessage> Responses(JsonElement told, MessageDescriptor type) => told.GetProperty("responses")
        .EnumerateArray().Select(response => JsonParser.Default.Parse(response.GetRawText(), type));

    internal static (int Code, string Output, string Error) Run(params string[] command)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(command[0], command[1..])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                UseShellExecute = false,
            })!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output, error.Result);
        }
        catch (Win32Exception e)
        {
            return (-1, "", e.Message);
        }
    }
}
