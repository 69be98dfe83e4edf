using Google.Protobuf;
using Grpc.Core;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Memory is measured for the whole process: nothing else runs beside these tests.</summary>
[CollectionDefinition(nameof(BackPressureTests), DisableParallelization = true)]
public sealed class BackPressureAlone;

/// <summary>A side that does not read stops the other, and nothing piles up between them.</summary>
[Collection(nameof(BackPressureTests))]
public class BackPressureTests
{
    private const int Messages = 10_000;
    private const int Length = 16 << 10;

    // The windows of HTTP/2 and the buffers of the sockets on both sides: of 160 MB, a twentieth.
    private const long MostUnderWay = 8 << 20;

    [Fact]
    public async Task A_server_that_rests_stops_the_client()
    {
        var gate = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnEach = async (requests, responses, _) =>
            {
                await gate.Task;
                for (long i = 0; await requests.MoveNext(); i++)
                {
                    Assert.Equal(i, requests.Current.Number);
                    await responses.WriteAsync(new Note { Number = i });
                }
            },
        });
        using RpcChannel channel = host.Open();
        using AsyncDuplexStreamingCall<Note, Note> call = new Echo.EchoClient(channel.Invoker).Each();
        int sent = 0;
        long before = GC.GetTotalMemory(forceFullCollection: true);
        Task writing = Task.Run(async () =>
        {
            var data = ByteString.CopyFrom(new byte[Length]);
            for (; sent < Messages; Volatile.Write(ref sent, sent + 1))
            {
                await call.RequestStream.WriteAsync(new Note { Number = sent, Data = data });
            }

            await call.RequestStream.CompleteAsync();
        });
        Task reading = Task.Run(async () =>
        {
            for (int i = 0; i < Messages; i++)
            {
                Assert.True(await call.ResponseStream.MoveNext());
                Assert.Equal(i, call.ResponseStream.Current.Number);
            }

            Assert.False(await call.ResponseStream.MoveNext());
        });

        await UntilItRestsAsync(() => Volatile.Read(ref sent));
        Assert.False(writing.IsCompleted);
        Assert.InRange((long)Volatile.Read(ref sent) * Length, 1, MostUnderWay);
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 4 * MostUnderWay);
        gate.SetResult();
        await writing.WaitAsync(TestHost.Patience);
        await reading.WaitAsync(TestHost.Patience);
    }

    [Fact]
    public async Task A_client_that_rests_stops_the_server()
    {
        int sent = 0;
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnRepeat = async (request, responses, _) =>
            {
                for (; sent < request.Number; Volatile.Write(ref sent, sent + 1))
                {
                    await responses.WriteAsync(new Note { Number = sent, Data = request.Data });
                }
            },
        });
        using RpcChannel channel = host.Open();
        var echo = new Echo.EchoClient(channel.Invoker);
        using AsyncServerStreamingCall<Note> call = echo.Repeat(
            new Note { Number = Messages, Data = ByteString.CopyFrom(new byte[Length]) });
        Assert.Equal(0, (await call.ReadAsync())!.Number);
        await UntilItRestsAsync(() => Volatile.Read(ref sent));
        Assert.InRange((long)Volatile.Read(ref sent) * Length, 1, MostUnderWay);

        // Another call on the same connection is not stopped by it.
        Assert.Equal(3, (await echo.OnceAsync(new Note { Number = 3 }).ResponseAsync.WaitAsync(TestHost.Patience)).Number);
        for (int i = 1; i < Messages; i++)
        {
            Assert.Equal(i, (await call.ReadAsync())!.Number);
        }

        Assert.Null(await call.ReadAsync());
    }

    // A pause that is taken for rest on a slow machine makes the count smaller, and so fails nothing.
    private static async Task UntilItRestsAsync(Func<int> count)
    {
        int last = -1;
        for (int same = 0; same < 10; await Task.Delay(50))
        {
            int now = count();
            same = now == last && now > 0 ? same + 1 : 0;
            last = now;
        }
    }
}
