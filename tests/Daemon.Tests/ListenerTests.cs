using System.Net;
using Grpc.Core;
using Grpc.Health.V1;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>Which services answer where.</summary>
public sealed class ListenerTests
{
    // Nobody else's, as a port that was free a moment ago may not be by now.
    private static readonly IPAddress Host =
        IPAddress.Parse($"127.{2 + ((Environment.ProcessId >> 8) % 250)}.{Environment.ProcessId & 255}.9");

    [Fact]
    public async Task Each_listener_has_its_own_services_whatever_host_a_request_names()
    {
        var channelAt = new IPEndPoint(Host, 7400);
        var controlAt = new IPEndPoint(Host, 7401);
        await using TestNode node = await TestNode.StartAsync(
            adjust: s => s with
            {
                Cluster = Guid.NewGuid(),
                Nodes = [new ClusterNode("alpha", $"{Host}", channelAt.Port), new ClusterNode("beta", "127.0.0.1", 9)],
                Listen = channelAt,
                ControlListen = controlAt,
            },
            before: n => n.Platform = m => new ModelPlatform(m.Hypervisor, "one"));
        using var channel = RpcChannel.ForTcp($"{Host}", channelAt.Port);
        using var control = RpcChannel.ForTcp($"{Host}", controlAt.Port);

        // Control, health and reflection are the operators'.
        await TestNode.FailsAsync(
            StatusCode.Unimplemented, null, () => new NodeControl.NodeControlClient(channel.Invoker).GetNodeAsync(new GetNodeRequest()));
        await TestNode.FailsAsync(
            StatusCode.Unimplemented, null, () => new Health.HealthClient(channel.Invoker).CheckAsync(new HealthCheckRequest()));
        foreach (RpcChannel way in (RpcChannel[])[control, node.Channel])
        {
            Assert.Equal("alpha", (await new NodeControl.NodeControlClient(way.Invoker).GetNodeAsync(new GetNodeRequest())).Name);
            using ChannelCall none = NodeChannel.Exchange(way);
            StatusException e = await Assert.ThrowsAsync<StatusException>(async () => await none.ReadAsync());
            Assert.Equal(StatusCode.Unimplemented, e.Code);
        }

        // The channel is the nodes'.
        using ChannelCall call = NodeChannel.Exchange(channel);
        await call.WriteAsync(new ChannelMessage { Hello = new Hello { ProtocolVersion = 1, Node = "beta" } });
        StatusException refused = await Assert.ThrowsAsync<StatusException>(async () => await call.ReadAsync());
        Assert.Equal((StatusCode.FailedPrecondition, "CLUSTER"), (refused.Code, refused.Reason));

        // A name in the request opens no other door.
        foreach ((IPEndPoint at, IPEndPoint named, string path) in new[]
        {
            (channelAt, controlAt, "/xtlckpt.v1.NodeControl/GetNode"), (controlAt, channelAt, "/xtlckpt.v1.NodeChannel/Exchange"),
        })
        {
            using var http = new HttpClient();
            using var request = new HttpRequestMessage(HttpMethod.Post, $"http://{at}{path}")
            {
                Version = HttpVersion.Version20,
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                Content = new ByteArrayContent([0, 0, 0, 0, 0]),
            };
            request.Headers.Host = named.ToString();
            request.Content.Headers.ContentType = new("application/grpc");
            using HttpResponseMessage answer = await http.SendAsync(request);

            // UNIMPLEMENTED to any gRPC client (gRPC, "HTTP to gRPC Status Code Mapping").
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }
    }
}
