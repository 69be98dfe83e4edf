using Google.Protobuf.Reflection;
using Grpc.Core;
using Grpc.Health.V1;
using Grpc.HealthCheck;
using Grpc.Reflection.V1;
using Xunit;
using ServingStatus = Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>grpc.health.v1 and grpc.reflection, v1 and v1alpha.</summary>
public class StandardTests
{
    private readonly HealthServiceImpl _health = new();

    [Fact]
    public async Task Health_is_told_and_watched_until_the_server_stops()
    {
        await using TestHost host = await TestHost.StartNodeAsync(new FakeNode(), _health);
        using RpcChannel channel = host.Open();
        var client = new Health.HealthClient(channel.Invoker);
        Assert.Equal(
            StatusCode.NotFound, (await TestHost.FailsAsync(() => client.CheckAsync(new HealthCheckRequest { Service = "x" }))).Code);
        _health.SetStatus("", ServingStatus.NotServing);
        Assert.Equal(ServingStatus.NotServing, (await client.CheckAsync(new HealthCheckRequest())).Status);
        using AsyncServerStreamingCall<HealthCheckResponse> watch = client.Watch(new HealthCheckRequest { Service = "x" });
        Assert.Equal(ServingStatus.ServiceUnknown, (await watch.ReadAsync())!.Status);
        _health.SetStatus("x", ServingStatus.Serving);
        Assert.Equal(ServingStatus.Serving, (await watch.ReadAsync())!.Status);
        Task<StatusException> end = TestHost.FailsAsync(() => watch.ReadAsync());
        await host.StopAsync().WaitAsync(TestHost.Patience);
        Assert.Equal((StatusCode.Unavailable, "The server is stopping."), ((await end).Code, (await end).Message));
    }

    [Fact]
    public async Task Reflection_lists_services_and_hands_out_their_files()
    {
        await using TestHost host = await TestHost.StartNodeAsync(new FakeNode());
        using RpcChannel channel = host.Open();
        using AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse> call =
            new ServerReflection.ServerReflectionClient(channel.Invoker).ServerReflectionInfo();
        async Task<ServerReflectionResponse> AskAsync(ServerReflectionRequest request)
        {
            await call.RequestStream.WriteAsync(request);
            Assert.True(await call.ResponseStream.MoveNext());
            return call.ResponseStream.Current;
        }

        Assert.Equal(
            [
                "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
                "xtlckpt.v1.NodeChannel", "xtlckpt.v1.NodeControl",
            ],
            (await AskAsync(new ServerReflectionRequest { ListServices = "" })).ListServicesResponse.Service.Select(s => s.Name)
                .Order(StringComparer.Ordinal));

        // From the descriptors of one answer alone, the files can be built.
        string control = "xtlckpt/v1/node_control.proto";
        foreach (ServerReflectionRequest request in (ServerReflectionRequest[])
        [
            new() { FileByFilename = control },
            new() { FileContainingSymbol = "xtlckpt.v1.NodeControl" },
            new() { FileContainingSymbol = "xtlckpt.v1.NodeControl.Checkpoint" },
            new() { FileContainingSymbol = "xtlckpt.v1.Phases" },
            new() { FileContainingSymbol = "xtlckpt.v1.NodeState" },
        ])
        {
            var files = (await AskAsync(request)).FileDescriptorResponse.FileDescriptorProto;
            FileDescriptor built = FileDescriptor.BuildFromByteStrings(files.Reverse()).Single(f => f.Name == control);
            Assert.Equal(11, built.Services[0].Methods.Count);
        }

        Assert.Equal(
            (int)StatusCode.NotFound,
            (await AskAsync(new ServerReflectionRequest { FileByFilename = "none.proto" })).ErrorResponse.ErrorCode);
        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext());
    }

    [Fact]
    public async Task Reflection_also_speaks_v1alpha()
    {
        await using TestHost host = await TestHost.StartNodeAsync(new FakeNode());
        using RpcChannel channel = host.Open();
        using AsyncDuplexStreamingCall<
            Grpc.Reflection.V1Alpha.ServerReflectionRequest, Grpc.Reflection.V1Alpha.ServerReflectionResponse> call =
            new Grpc.Reflection.V1Alpha.ServerReflection.ServerReflectionClient(channel.Invoker).ServerReflectionInfo();
        await call.RequestStream.WriteAsync(new Grpc.Reflection.V1Alpha.ServerReflectionRequest { ListServices = "" });
        Assert.True(await call.ResponseStream.MoveNext());
        Assert.Contains("xtlckpt.v1.NodeControl", call.ResponseStream.Current.ListServicesResponse.Service.Select(s => s.Name));
    }
}
