using Google.Protobuf;
using XenTwoLevelCkpt.Rpc.Client;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>The four kinds of calls, where all goes well.</summary>
public class CallTests
{
    public static TheoryData<Transport> Transports => new(Transport.Tcp, Transport.UnixSocket);

    [Theory]
    [MemberData(nameof(Transports))]
    public async Task A_unary_call_answers(Transport transport)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open(transport);
        var note = new Note { Text = "Grüße", Number = -1, Data = ByteString.CopyFrom(1, 2, 3) };
        Assert.Equal(note, await channel.UnaryAsync(EchoMethods.Once, note));
        Assert.Equal(new Note(), await channel.UnaryAsync(EchoMethods.Once, new Note()));
    }

    [Theory]
    [MemberData(nameof(Transports))]
    public async Task Responses_stream(Transport transport)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open(transport);
        foreach (int count in (int[])[0, 1, 1000])
        {
            using ServerStreamingCall<Note> call =
                channel.ServerStreaming(EchoMethods.Repeat, new Note { Text = "x", Number = count });
            List<long> numbers = [];
            await foreach (Note note in call.ReadAllAsync())
            {
                numbers.Add(note.Number);
            }

            Assert.Equal(Enumerable.Range(0, count).Select(i => (long)i), numbers);
            Assert.Null(await call.ReadAsync());
        }
    }

    [Theory]
    [MemberData(nameof(Transports))]
    public async Task Requests_stream(Transport transport)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open(transport);
        foreach (int count in (int[])[0, 1, 100])
        {
            using ClientStreamingCall<Note, Note> call = channel.ClientStreaming(EchoMethods.Sum);
            for (int i = 0; i < count; i++)
            {
                await call.WriteAsync(new Note { Number = i, Data = ByteString.CopyFrom((byte)i) });
            }

            Note sum = await call.CompleteAsync();
            Assert.Equal(count * (count - 1) / 2, sum.Number);
            Assert.Equal(Enumerable.Range(0, count).Select(i => (byte)i), sum.Data);
        }
    }

    [Theory]
    [MemberData(nameof(Transports))]
    public async Task Both_directions_stream_in_turns(Transport transport)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open(transport);
        using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
        for (int i = 0; i < 100; i++)
        {
            // The answer is there before the next question: nothing waits in a buffer.
            await call.WriteAsync(new Note { Number = i });
            Assert.Equal(i, (await call.ReadAsync())!.Number);
        }

        call.CompleteRequests();
        Assert.Null(await call.ReadAsync());
    }

    [Fact]
    public async Task The_server_may_speak_first()
    {
        var release = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Each = async (_, responses, call) =>
            {
                await responses.WriteAsync(new Note { Text = "hello" });
                await release.Task;
            },
        });
        using RpcChannel channel = host.Open();
        using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
        Assert.Equal("hello", (await call.ReadAsync())!.Text);
        release.SetResult();
        Assert.Null(await call.ReadAsync());
    }

    [Fact]
    public async Task A_stream_may_rest()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
        for (int i = 0; i < 2; i++)
        {
            await call.WriteAsync(new Note { Number = i });
            Assert.Equal(i, (await call.ReadAsync())!.Number);

            // Kestrel's own patience with a request is 5 s.
            await Task.Delay(TimeSpan.FromSeconds(8));
        }

        call.CompleteRequests();
        Assert.Null(await call.ReadAsync());
    }

    [Theory]
    [InlineData(1 << 20)]
    [InlineData((4 << 20) - 64)]
    public async Task Messages_longer_than_a_window_arrive(int length)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        byte[] data = new byte[length];
        new Random(1).NextBytes(data);
        Note answer = await channel.UnaryAsync(EchoMethods.Once, new Note { Data = ByteString.CopyFrom(data) });
        Assert.True(answer.Data.Span.SequenceEqual(data));
    }

    [Fact]
    public async Task Calls_side_by_side_do_not_mix()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        // More than one connection takes streams at a time.
        await Task.WhenAll(Enumerable.Range(0, 300).Select(async i =>
        {
            using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
            for (int m = 0; m < 10; m++)
            {
                await call.WriteAsync(new Note { Number = (i * 10) + m });
                Assert.Equal((i * 10) + m, (await call.ReadAsync())!.Number);
            }

            call.CompleteRequests();
            Assert.Null(await call.ReadAsync());
        }));
    }

    [Fact]
    public void A_method_is_called_as_its_kind()
    {
        using var channel = RpcChannel.ForTcp("127.0.0.1", 1);
        _ = Assert.Throws<ArgumentException>(() => channel.ServerStreaming(EchoMethods.Once, new Note()));
        _ = Assert.Throws<ArgumentException>(() => channel.Bidirectional(EchoMethods.Sum));
    }

    [Fact]
    public void A_service_is_bound_as_its_contract_says()
    {
        var echo = EchoReflection.Descriptor.Services[0];
        _ = Assert.Throws<InvalidOperationException>(() => new ServiceBuilder(echo).Build());
        _ = Assert.Throws<ArgumentException>(() => new ServiceBuilder(echo).ServerStreaming(
            new Method<Note, Note>(MethodKind.ServerStreaming, echo.FullName, "Once"), (_, _, _) => Task.CompletedTask));
        _ = Assert.Throws<ArgumentException>(() => new ServiceBuilder(echo).Unary(
            new Method<Note, Note>(MethodKind.Unary, echo.FullName, "None"), (n, _) => Task.FromResult(n)));
        _ = Assert.Throws<ArgumentException>(() => new ServiceBuilder(echo).Unary(
            new Method<Note, V1.Node>(MethodKind.Unary, echo.FullName, "Once"), (n, _) => Task.FromResult(new V1.Node())));
        _ = Assert.Throws<ArgumentException>(() => new ServiceBuilder(echo)
            .Unary(EchoMethods.Once, (n, _) => Task.FromResult(n)).Unary(EchoMethods.Once, (n, _) => Task.FromResult(n)));
    }
}
