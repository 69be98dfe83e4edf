using Google.Protobuf;
using Grpc.Core;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>The four kinds of calls, where all goes well, with this project's settings of the library.</summary>
public class CallTests
{
    public static TheoryData<Transport> Transports => new(Transport.Tcp, Transport.UnixSocket);

    [Theory]
    [MemberData(nameof(Transports))]
    public async Task Calls_of_each_kind_answer(Transport transport)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open(transport);
        var echo = new Echo.EchoClient(channel.Invoker);
        var note = new Note { Text = "Grüße", Number = -1, Data = ByteString.CopyFrom(1, 2, 3) };
        Assert.Equal(note, await echo.OnceAsync(note));
        foreach (int count in (int[])[0, 1, 1000])
        {
            using AsyncServerStreamingCall<Note> repeat = echo.Repeat(new Note { Text = "x", Number = count });
            List<long> numbers = [];
            await foreach (Note one in repeat.ReadAllAsync())
            {
                numbers.Add(one.Number);
            }

            Assert.Equal(Enumerable.Range(0, count).Select(i => (long)i), numbers);
            using AsyncClientStreamingCall<Note, Note> sum = echo.Sum();
            for (int i = 0; i < count; i++)
            {
                await sum.RequestStream.WriteAsync(new Note { Number = i });
            }

            await sum.RequestStream.CompleteAsync();
            Assert.Equal(count * (count - 1) / 2, (await sum).Number);
        }

        using AsyncDuplexStreamingCall<Note, Note> each = echo.Each();
        for (int i = 0; i < 100; i++)
        {
            // The answer is there before the next question: nothing waits in a buffer.
            await each.RequestStream.WriteAsync(new Note { Number = i });
            Assert.True(await each.ResponseStream.MoveNext());
            Assert.Equal(i, each.ResponseStream.Current.Number);
        }

        await each.RequestStream.CompleteAsync();
        Assert.False(await each.ResponseStream.MoveNext());
    }

    [Fact]
    public async Task A_stream_may_rest()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        using AsyncDuplexStreamingCall<Note, Note> call = new Echo.EchoClient(channel.Invoker).Each();
        for (int i = 0; i < 2; i++)
        {
            await call.RequestStream.WriteAsync(new Note { Number = i });
            Assert.True(await call.ResponseStream.MoveNext());

            // Kestrel's own patience with a request is 5 s.
            await Task.Delay(TimeSpan.FromSeconds(8));
        }

        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext());
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
        Note answer = await new Echo.EchoClient(channel.Invoker).OnceAsync(new Note { Data = ByteString.CopyFrom(data) });
        Assert.True(answer.Data.Span.SequenceEqual(data));
    }

    [Fact]
    public async Task Calls_side_by_side_do_not_mix()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        var echo = new Echo.EchoClient(channel.Invoker);

        // More than one connection takes streams at a time.
        await Task.WhenAll(Enumerable.Range(0, 300).Select(async i =>
        {
            using AsyncDuplexStreamingCall<Note, Note> call = echo.Each();
            for (int m = 0; m < 10; m++)
            {
                await call.RequestStream.WriteAsync(new Note { Number = (i * 10) + m });
                Assert.True(await call.ResponseStream.MoveNext());
                Assert.Equal((i * 10) + m, call.ResponseStream.Current.Number);
            }

            await call.RequestStream.CompleteAsync();
            Assert.False(await call.ResponseStream.MoveNext());
        }));
    }
}
