using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>The nodes' own services.</summary>
public class NodeTests
{
    [Fact]
    public async Task Every_method_of_a_node_can_be_called()
    {
        var node = new FakeNode();
        await using TestHost host = await TestHost.StartNodeAsync(node);
        using RpcChannel channel = host.Open(Transport.UnixSocket);
        var client = new NodeControl.NodeControlClient(channel.Invoker);
        Dictionary<string, IReadOnlyList<IMessage>> found = new(StringComparer.Ordinal)
        {
            ["GetNode"] = [await client.GetNodeAsync(new GetNodeRequest())],
            ["ListDomains"] = [await client.ListDomainsAsync(new ListDomainsRequest())],
            ["SetDomain"] = [await client.SetDomainAsync(new SetDomainRequest { Domain = "größe" })],
            ["Checkpoint"] = await AllAsync(client.Checkpoint(new CheckpointRequest())),
            ["ListCheckpoints"] = [await client.ListCheckpointsAsync(new ListCheckpointsRequest())],
            ["ShowCheckpoint"] = [await client.ShowCheckpointAsync(new ShowCheckpointRequest { Checkpoint = "latest" })],
            ["Verify"] = await AllAsync(client.Verify(new VerifyRequest())),
            ["Restore"] = await AllAsync(client.Restore(new RestoreRequest())),
            ["Recover"] = [await client.RecoverAsync(new RecoverRequest { Line = 42 })],
            ["CollectGarbage"] = [await client.CollectGarbageAsync(new CollectGarbageRequest { Line = 42 })],
        };
        using AsyncServerStreamingCall<Event> watch = client.WatchEvents(new WatchEventsRequest());
        List<IMessage> events = [];
        while (events.Count < FakeNode.Answers("WatchEvents").Count)
        {
            events.Add((await watch.ReadAsync())!);
        }

        watch.Dispose();
        await node.WatchEnded.Task.WaitAsync(TestHost.Patience);
        found["WatchEvents"] = events;
        foreach (MethodDescriptor method in NodeControlReflection.Descriptor.Services[0].Methods)
        {
            Assert.Equal(FakeNode.Answers(method.Name), found[method.Name]);
        }

        StatusException e = await TestHost.FailsAsync(
            () => client.ShowCheckpointAsync(new ShowCheckpointRequest { Checkpoint = "x" }));
        Assert.Equal("CHECKPOINT", e.Reason);
    }

    [Fact]
    public async Task Two_nodes_exchange_batches()
    {
        await using TestHost host = await TestHost.StartNodeAsync(new FakeNode());
        using RpcChannel channel = host.Open();
        using ChannelCall call = NodeChannel.Exchange(channel);
        await call.WriteAsync(new ChannelMessage { Hello = new Hello { ProtocolVersion = 1, Node = "alpha" } });
        Assert.Equal("beta", (await call.ReadAsync())!.Hello.Node);
        for (ulong i = 1; i <= 100; i++)
        {
            await call.WriteAsync(new ChannelMessage { Batch = new Batch { Sequence = i, Frames = ByteString.CopyFrom(new byte[1500]) } });
            Assert.Equal(i, (await call.ReadAsync())!.Acknowledgement.Through);
        }

        await call.CompleteAsync();
        Assert.Null(await call.ReadAsync());
    }

    [Fact]
    public void Every_declaration_of_the_contract_is_explained()
    {
        foreach (string file in Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "proto"), "*.proto", SearchOption.AllDirectories))
        {
            string before = "";
            foreach (string line in File.ReadLines(file).Select(l => l.Trim()))
            {
                bool declares = line.EndsWith('{') || (line.EndsWith(';') && !IsPreamble(line));
                Assert.True(!declares || before.StartsWith("//", StringComparison.Ordinal), $"{file}: {line}");
                before = line;
            }
        }
    }

    private static bool IsPreamble(string line) =>
        line.Split(' ')[0] is "syntax" or "package" or "import" or "option";

    private static async Task<IReadOnlyList<IMessage>> AllAsync<T>(AsyncServerStreamingCall<T> call)
        where T : class, IMessage<T>, new()
    {
        using (call)
        {
            List<IMessage> all = [];
            await foreach (T message in call.ReadAllAsync())
            {
                all.Add(message);
            }

            return all;
        }
    }
}
