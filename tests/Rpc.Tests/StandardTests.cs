using Google.Protobuf.Reflection;
using Microsoft.Extensions.Logging;
using XenTwoLevelCkpt.Rpc.Client;
using XenTwoLevelCkpt.Rpc.Server;
using XenTwoLevelCkpt.Rpc.Standard;
using Xunit;
using ServingStatus = XenTwoLevelCkpt.Rpc.Standard.HealthCheckResponse.Types.ServingStatus;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>grpc.health.v1 and grpc.reflection.v1.</summary>
public class StandardTests
{
    private readonly HealthService _health = new();

    [Fact]
    public async Task Health_is_told_once()
    {
        await using TestHost host = await TestHost.StartAsync(Make);
        using RpcChannel channel = host.Open();
        async Task<ServingStatus> AskAsync(string service) =>
            (await channel.UnaryAsync(HealthMethods.Check, new HealthCheckRequest { Service = service })).Status;

        Assert.Equal(ServingStatus.Serving, await AskAsync(""));
        Assert.Equal(StatusCode.NotFound, (await StatusTests.FailsAsync(() => AskAsync("x"))).Code);
        _health.Set("x", ServingStatus.NotServing);
        Assert.Equal(ServingStatus.NotServing, await AskAsync("x"));
    }

    [Fact]
    public async Task Health_is_watched()
    {
        await using TestHost host = await TestHost.StartAsync(Make);
        using RpcChannel channel = host.Open();
        using ServerStreamingCall<HealthCheckResponse> watch =
            channel.ServerStreaming(HealthMethods.Watch, new HealthCheckRequest { Service = "x" });
        Assert.Equal(ServingStatus.ServiceUnknown, (await watch.ReadAsync())!.Status);
        _health.Set("other", ServingStatus.NotServing);
        _health.Set("x", ServingStatus.Serving);
        Assert.Equal(ServingStatus.Serving, (await watch.ReadAsync())!.Status);
        _health.Set("x", ServingStatus.Serving);
        _health.Set("x", ServingStatus.NotServing);
        Assert.Equal(ServingStatus.NotServing, (await watch.ReadAsync())!.Status);
        await host.StopAsync();
        Assert.Equal(StatusCode.Unavailable, (await StatusTests.FailsAsync(async () => await watch.ReadAsync())).Code);
    }

    [Fact]
    public async Task Reflection_lists_services_and_hands_out_their_files()
    {
        await using TestHost host = await TestHost.StartAsync(Make);
        using RpcChannel channel = host.Open();
        using BidirectionalCall<ServerReflectionRequest, ServerReflectionResponse> call =
            channel.Bidirectional(ReflectionMethods.Info);
        async Task<ServerReflectionResponse> AskAsync(ServerReflectionRequest request)
        {
            request.Host = "h";
            await call.WriteAsync(request);
            ServerReflectionResponse response = (await call.ReadAsync())!;
            Assert.Equal("h", response.ValidHost);
            Assert.Equal(request, response.OriginalRequest);
            return response;
        }

        Assert.Equal(
            ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "xtlckpt.tests.Echo", "xtlckpt.v1.NodeControl"],
            (await AskAsync(new ServerReflectionRequest { ListServices = "" })).ListServicesResponse.Service.Select(s => s.Name));

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
            IReadOnlyList<FileDescriptor> built = FileDescriptor.BuildFromByteStrings(files.Reverse());
            Assert.Equal(control, built[^1].Name);
            Assert.Equal(10, built[^1].Services[0].Methods.Count);
            Assert.Equal(
                ["google/protobuf/duration.proto", "google/protobuf/timestamp.proto"],
                built.Select(f => f.Name).Where(n => n != control).Order(StringComparer.Ordinal));
        }

        Assert.NotNull((await AskAsync(new ServerReflectionRequest
        {
            FileContainingSymbol = "grpc.health.v1.HealthCheckResponse.ServingStatus",
        })).FileDescriptorResponse);
        Assert.Empty((await AskAsync(new ServerReflectionRequest { AllExtensionNumbersOfType = "xtlckpt.v1.Node" }))
            .AllExtensionNumbersResponse.ExtensionNumber);
        foreach ((ServerReflectionRequest request, StatusCode expected) in ((ServerReflectionRequest, StatusCode)[])
        [
            (new ServerReflectionRequest { FileByFilename = "none.proto" }, StatusCode.NotFound),
            (new ServerReflectionRequest { FileContainingSymbol = "none" }, StatusCode.NotFound),
            (new ServerReflectionRequest { AllExtensionNumbersOfType = "none" }, StatusCode.NotFound),
            (new ServerReflectionRequest { FileContainingExtension = new ExtensionRequest() }, StatusCode.NotFound),
            (new ServerReflectionRequest(), StatusCode.InvalidArgument),
        ])
        {
            Assert.Equal((int)expected, (await AskAsync(request)).ErrorResponse.ErrorCode);
        }

        call.CompleteRequests();
        Assert.Null(await call.ReadAsync());
    }

    [Fact]
    public void Two_services_of_one_name_are_refused() => Assert.Throws<ArgumentException>(() => new RpcServer(
        new RpcServerOptions(), LoggerFactory.Create(_ => { }).CreateLogger(""), _health.Define(), _health.Define()));

    private RpcServer Make(ILogger log, CancellationToken stopping)
    {
        ServiceDefinition[] services = [new EchoService().Define(), new FakeNode().Define(), _health.Define()];
        return new RpcServer(
            new RpcServerOptions { Stopping = stopping }, log, [.. services, new ReflectionService(services).Define()]);
    }
}
