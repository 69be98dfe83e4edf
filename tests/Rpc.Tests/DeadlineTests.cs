using XenTwoLevelCkpt.Rpc.Client;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Deadlines and cancellation, from both sides.</summary>
public class DeadlineTests
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(50);

    [Fact]
    public async Task The_server_learns_of_the_deadline()
    {
        DateTimeOffset? deadline = null;
        bool called = false;
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = (request, call) =>
            {
                called = true;
                deadline = call.Deadline;
                return Task.FromResult(request);
            },
        });
        using RpcChannel channel = host.Open();
        _ = await channel.UnaryAsync(EchoMethods.Once, new Note());
        Assert.True(called);
        Assert.Null(deadline);
        DateTimeOffset before = DateTimeOffset.UtcNow;
        _ = await channel.UnaryAsync(EchoMethods.Once, new Note(), new CallOptions(TimeSpan.FromHours(1)));
        Assert.InRange(deadline!.Value, before + TimeSpan.FromHours(1), DateTimeOffset.UtcNow + TimeSpan.FromHours(1));
        _ = await channel.UnaryAsync(EchoMethods.Once, new Note(), new CallOptions(TimeSpan.FromDays(50_000)));
        Assert.Null(deadline);
    }

    [Fact]
    public async Task The_server_ends_a_call_whose_deadline_has_passed()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = async (request, call) =>
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, call.CancellationToken);
                return request;
            },
            Each = async (requests, _, _) => _ = await requests.ReadAsync(),
        });
        // A client without a clock.
        using var http = new RawClient(host.Address);
        Assert.Equal("4", (await http.CallAsync("Once", Frames.Of(new Note()), timeout: "50m")).Status);
        Assert.Equal("4", (await http.CallAsync("Once", Frames.Of(new Note()), timeout: "1n")).Status);
        Assert.Equal("4", (await http.CallAsync("Once", Frames.Of(new Note()), timeout: "0S")).Status);
        Assert.Equal("4", (await http.OpenStreamAsync("Each", timeout: "50m")).Status);
    }

    [Fact]
    public async Task The_client_ends_a_call_whose_server_does_not_care()
    {
        var release = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = async (request, _) =>
            {
                await release.Task;
                return request;
            },
            Each = (_, _, _) => release.Task,
        });
        using RpcChannel channel = host.Open();
        StatusException e = await StatusTests.FailsAsync(
            () => channel.UnaryAsync(EchoMethods.Once, new Note(), new CallOptions(Short)));
        Assert.Equal(StatusCode.DeadlineExceeded, e.Code);
        using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each, new CallOptions(Short));
        Assert.Equal(
            StatusCode.DeadlineExceeded, (await StatusTests.FailsAsync(async () => await call.ReadAsync())).Code);
        Assert.Equal(
            StatusCode.DeadlineExceeded, (await StatusTests.FailsAsync(async () => await call.WriteAsync(new Note()))).Code);
        release.SetResult();
    }

    [Fact]
    public async Task A_deadline_that_has_passed_before_the_call_ends_it()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        foreach (TimeSpan timeout in (TimeSpan[])[TimeSpan.Zero, TimeSpan.FromSeconds(-1)])
        {
            StatusException e = await StatusTests.FailsAsync(
                () => channel.UnaryAsync(EchoMethods.Once, new Note(), new CallOptions(timeout)));
            Assert.Equal(StatusCode.DeadlineExceeded, e.Code);
        }
    }

    [Fact]
    public async Task A_client_that_gives_up_stops_the_handler()
    {
        var begun = new TaskCompletionSource();
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = async (request, call) =>
            {
                begun.SetResult();
                await WaitForEndAsync(stopped, call.CancellationToken);
                return request;
            },
        });
        using RpcChannel channel = host.Open();
        using var cancel = new CancellationTokenSource();
        Task<Note> call = channel.UnaryAsync(EchoMethods.Once, new Note(), new CallOptions(CancellationToken: cancel.Token));
        await begun.Task.WaitAsync(TestHost.Patience);
        await cancel.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(TestHost.Patience));
        Assert.Equal(cancel.Token, e.CancellationToken);
        await stopped.Task.WaitAsync(TestHost.Patience);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stream_that_is_given_up_stops_the_handler(bool byDisposal)
    {
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Each = async (requests, responses, call) =>
            {
                await responses.WriteAsync((await requests.ReadAsync())!);
                try
                {
                    _ = await requests.ReadAsync();
                }
                finally
                {
                    stopped.SetResult();
                }
            },
        });
        using RpcChannel channel = host.Open();
        using var cancel = new CancellationTokenSource();
        using BidirectionalCall<Note, Note> call =
            channel.Bidirectional(EchoMethods.Each, new CallOptions(CancellationToken: cancel.Token));
        await call.WriteAsync(new Note());
        _ = await call.ReadAsync();
        if (byDisposal)
        {
            call.Dispose();
        }
        else
        {
            Task read = call.ReadAsync().AsTask();
            await cancel.CancelAsync();
            _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(TestHost.Patience));
            _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await call.WriteAsync(new Note()));
        }

        await stopped.Task.WaitAsync(TestHost.Patience);
    }

    [Fact]
    public async Task A_call_that_is_disposed_before_its_answer_stops_the_handler()
    {
        var begun = new TaskCompletionSource();
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Repeat = (_, _, call) =>
            {
                begun.SetResult();
                return WaitForEndAsync(stopped, call.CancellationToken);
            },
        });
        using RpcChannel channel = host.Open();
        ServerStreamingCall<Note> call = channel.ServerStreaming(EchoMethods.Repeat, new Note());
        await begun.Task.WaitAsync(TestHost.Patience);
        call.Dispose();
        await stopped.Task.WaitAsync(TestHost.Patience);
        _ = await Assert.ThrowsAsync<ObjectDisposedException>(async () => await call.ReadAsync());
    }

    [Fact]
    public async Task A_read_that_is_given_up_gives_the_call_up()
    {
        var begun = new TaskCompletionSource();
        var stopped = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Repeat = (_, _, call) =>
            {
                begun.SetResult();
                return WaitForEndAsync(stopped, call.CancellationToken);
            },
        });
        using RpcChannel channel = host.Open();
        using ServerStreamingCall<Note> call = channel.ServerStreaming(EchoMethods.Repeat, new Note());
        using var cancel = new CancellationTokenSource();
        Task read = call.ReadAsync(cancel.Token).AsTask();
        await begun.Task.WaitAsync(TestHost.Patience);
        await cancel.CancelAsync();
        _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(TestHost.Patience));
        call.Dispose();
        await stopped.Task.WaitAsync(TestHost.Patience);
    }

    [Fact]
    public async Task A_handler_that_gives_up_tells_so()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = (_, _) => throw new OperationCanceledException(),
        });
        using RpcChannel channel = host.Open();
        StatusException e = await StatusTests.FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()));
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
