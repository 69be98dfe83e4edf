using Grpc.Core;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Deadlines and cancellation, from both sides.</summary>
public class DeadlineTests
{
    private static DateTime Soon => DateTime.UtcNow + TimeSpan.FromMilliseconds(50);

    [Fact]
    public async Task The_server_learns_of_the_deadline()
    {
        DateTime? deadline = null;
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = (request, call) =>
            {
                deadline = call.Deadline;
                return Task.FromResult(request);
            },
        });
        using RpcChannel channel = host.Open();
        var echo = new Echo.EchoClient(channel.Invoker);
        _ = await echo.OnceAsync(new Note());
        Assert.Equal(DateTime.MaxValue, deadline);
        DateTime before = DateTime.UtcNow;
        _ = await echo.OnceAsync(new Note(), deadline: DateTime.UtcNow + TimeSpan.FromHours(1));
        Assert.InRange(deadline!.Value, before + TimeSpan.FromMinutes(59), DateTime.UtcNow + TimeSpan.FromMinutes(61));
    }

    [Fact]
    public async Task The_server_ends_a_call_whose_deadline_has_passed()
    {
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = async (request, call) =>
            {
                await WaitForEndAsync(stopped, call.CancellationToken);
                return request;
            },
        });

        // A client without a clock.
        using var http = new RawClient(host.Address);
        Assert.Equal("4", (await http.CallAsync("Once", Frames.Of(new Note()), timeout: "50m")).Status);
        await stopped.Task.WaitAsync(TestHost.Patience);
    }

    [Fact]
    public async Task The_client_ends_a_call_whose_server_does_not_care()
    {
        var release = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = async (request, _) =>
            {
                await release.Task;
                return request;
            },
            OnRepeat = (_, _, _) => release.Task,
        });
        using RpcChannel channel = host.Open();
        var echo = new Echo.EchoClient(channel.Invoker);
        Assert.Equal(
            StatusCode.DeadlineExceeded, (await TestHost.FailsAsync(() => echo.OnceAsync(new Note(), deadline: Soon))).Code);
        using AsyncServerStreamingCall<Note> call = echo.Repeat(new Note(), deadline: Soon);
        Assert.Equal(StatusCode.DeadlineExceeded, (await TestHost.FailsAsync(() => call.ReadAsync())).Code);
        Assert.Equal(
            StatusCode.DeadlineExceeded,
            (await TestHost.FailsAsync(() => echo.OnceAsync(new Note(), deadline: DateTime.UtcNow - TimeSpan.FromSeconds(1)))).Code);
        release.SetResult();

        // The handlers end while there is still a server.
        await host.StopAsync();
    }

    [Fact]
    public async Task A_client_that_gives_up_stops_the_handler()
    {
        var begun = new TaskCompletionSource();
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = async (request, call) =>
            {
                begun.SetResult();
                await WaitForEndAsync(stopped, call.CancellationToken);
                return request;
            },
        });
        using RpcChannel channel = host.Open();
        using var cancel = new CancellationTokenSource();
        Task<Note> call = new Echo.EchoClient(channel.Invoker).OnceAsync(new Note(), cancellationToken: cancel.Token).ResponseAsync;
        await begun.Task.WaitAsync(TestHost.Patience);
        await cancel.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(TestHost.Patience));
        Assert.Equal(cancel.Token, e.CancellationToken);
        await stopped.Task.WaitAsync(TestHost.Patience);
    }

    [Theory]
    [InlineData("dispose")]
    [InlineData("cancel the call")]
    [InlineData("cancel the read")]
    public async Task A_stream_that_is_given_up_stops_the_handler(string how)
    {
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnRepeat = async (request, responses, call) =>
            {
                await responses.WriteAsync(request);
                await WaitForEndAsync(stopped, call.CancellationToken);
            },
        });
        using RpcChannel channel = host.Open();
        using var cancel = new CancellationTokenSource();
        using AsyncServerStreamingCall<Note> call = new Echo.EchoClient(channel.Invoker).Repeat(
            new Note(), cancellationToken: how == "cancel the call" ? cancel.Token : default);
        Assert.NotNull(await call.ReadAsync());
        if (how == "dispose")
        {
            call.Dispose();
        }
        else
        {
            Task read = call.ReadAsync(how == "cancel the read" ? cancel.Token : default);
            await cancel.CancelAsync();
            OperationCanceledException e =
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(TestHost.Patience));
            Assert.Equal(cancel.Token, e.CancellationToken);
        }

        await stopped.Task.WaitAsync(TestHost.Patience);
    }

    [Fact]
    public async Task A_handler_that_writes_to_a_client_that_is_gone_hears_of_it_as_of_a_cancellation()
    {
        var first = new TaskCompletionSource();
        var gone = new TaskCompletionSource();
        var heard = new TaskCompletionSource<Exception>();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnRepeat = async (request, responses, call) =>
            {
                await responses.WriteAsync(request);
                first.SetResult();
                using CancellationTokenRegistration ended = call.CancellationToken.Register(gone.SetResult);
                await gone.Task;
                try
                {
                    await responses.WriteAsync(request);
                }
                catch (Exception e)
                {
                    heard.SetResult(e);
                    throw;
                }
            },
        });
        using RpcChannel channel = host.Open();
        AsyncServerStreamingCall<Note> call = new Echo.EchoClient(channel.Invoker).Repeat(new Note());
        await first.Task.WaitAsync(TestHost.Patience);
        call.Dispose();
        _ = Assert.IsAssignableFrom<OperationCanceledException>(await heard.Task.WaitAsync(TestHost.Patience));
    }

    [Fact]
    public async Task A_handler_that_gives_up_tells_so()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = (_, _) => throw new OperationCanceledException(),
        });
        using RpcChannel channel = host.Open();
        StatusException e = await TestHost.FailsAsync(() => new Echo.EchoClient(channel.Invoker).OnceAsync(new Note()));
        Assert.Equal(StatusCode.Cancelled, e.Code);
    }

    private static async Task WaitForEndAsync(TaskCompletionSource stopped, CancellationToken end)
    {
        try
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, end);
        }
        finally
        {
            stopped.SetResult();
        }
    }
}
