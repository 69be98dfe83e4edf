using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Google.Rpc;
using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>How calls end that do not succeed.</summary>
public class StatusTests
{
    public static TheoryData<StatusCode> Codes => new(System.Enum.GetValues<StatusCode>().Where(c => c != StatusCode.OK));

    [Theory]
    [MemberData(nameof(Codes))]
    public async Task Every_code_reaches_the_client(StatusCode code)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = (_, _) => throw new StatusException(code, "für 100%\nnichts", [Any.Pack(new Note { Number = 5 })]),
        });
        using RpcChannel channel = host.Open();
        StatusException e = await TestHost.FailsAsync(() => new Echo.EchoClient(channel.Invoker).OnceAsync(new Note()));
        Assert.Equal(code, e.Code);
        Assert.Equal("für 100%\nnichts", e.Message);
        Assert.Equal(5, e.Find<Note>()!.Number);
        Assert.Null(e.Find<ErrorInfo>());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(17)]
    [InlineData(-1)]
    public void A_code_that_is_none_is_refused(int code) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new StatusException((StatusCode)code, ""));

    [Fact]
    public async Task A_reason_is_for_programs()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = (_, _) => throw StatusException.Because(StatusCode.NotFound, "DOMAIN", "There is no domain 'x'."),
            OnRepeat = (_, _, _) => throw StatusException.Because(StatusCode.NotFound, "DOMAIN", "There is no domain 'x'."),
            OnEach = (_, _, _) => throw StatusException.Because(StatusCode.NotFound, "DOMAIN", "There is no domain 'x'."),
        });
        using RpcChannel channel = host.Open();
        var echo = new Echo.EchoClient(channel.Invoker);
        using AsyncServerStreamingCall<Note> repeat = echo.Repeat(new Note());
        using AsyncDuplexStreamingCall<Note, Note> each = echo.Each();
        foreach (Func<Task> call in (Func<Task>[])
            [() => echo.OnceAsync(new Note()).ResponseAsync, () => repeat.ReadAsync(), () => each.ResponseStream.MoveNext()])
        {
            StatusException e = await TestHost.FailsAsync(call);
            Assert.Equal((StatusCode.NotFound, "DOMAIN", "There is no domain 'x'."), (e.Code, e.Reason, e.Message));
            Assert.Equal(StatusException.ErrorDomain, e.Find<ErrorInfo>()!.Domain);
        }
    }

    [Fact]
    public async Task What_a_handler_throws_stays_at_the_server()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = (_, _) => throw new InvalidDataException("a secret"),
            OnRepeat = async (_, responses, _) =>
            {
                await responses.WriteAsync(new Note());
                throw new IOException("a secret");
            },
            OnEach = (_, _, _) => throw new InvalidOperationException("a secret"),
        });
        using RpcChannel channel = host.Open();
        var echo = new Echo.EchoClient(channel.Invoker);
        using AsyncServerStreamingCall<Note> repeat = echo.Repeat(new Note());
        Assert.NotNull(await repeat.ReadAsync());
        using AsyncDuplexStreamingCall<Note, Note> each = echo.Each();
        foreach (Func<Task> call in (Func<Task>[])
            [() => echo.OnceAsync(new Note()).ResponseAsync, () => repeat.ReadAsync(), () => each.ResponseStream.MoveNext()])
        {
            StatusException e = await TestHost.FailsAsync(call);
            Assert.Equal(StatusCode.Internal, e.Code);
            Assert.DoesNotContain("secret", e.ToString(), StringComparison.Ordinal);
        }

        IReadOnlyList<string> errors = host.TakeErrors();
        Assert.Equal(3, errors.Count);
        Assert.All(errors, error => Assert.Contains("a secret", error, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_failure_behind_messages_comes_after_them()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnRepeat = async (_, responses, _) =>
            {
                await responses.WriteAsync(new Note { Number = 1 });
                await responses.WriteAsync(new Note { Number = 2 });
                throw new StatusException(StatusCode.DataLoss, "lost");
            },
        });
        using RpcChannel channel = host.Open();
        using AsyncServerStreamingCall<Note> call = new Echo.EchoClient(channel.Invoker).Repeat(new Note());
        Assert.Equal(1, (await call.ReadAsync())!.Number);
        Assert.Equal(2, (await call.ReadAsync())!.Number);
        Assert.Equal(StatusCode.DataLoss, (await TestHost.FailsAsync(() => call.ReadAsync())).Code);

        // It says the same again.
        Assert.Equal(StatusCode.DataLoss, (await TestHost.FailsAsync(() => call.ReadAsync())).Code);
    }

    [Fact]
    public async Task Limits_of_messages_hold_on_both_sides()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnRepeat = (request, responses, _) =>
                responses.WriteAsync(new Note { Data = ByteString.CopyFrom(new byte[request.Number]) }),
        });
        async Task<StatusCode> SizedAsync(RpcChannelOptions options, int sent, int answered)
        {
            using RpcChannel channel = host.Open(options: options);
            var echo = new Echo.EchoClient(channel.Invoker);
            return (await TestHost.FailsAsync(async () =>
            {
                using AsyncServerStreamingCall<Note> call =
                    echo.Repeat(new Note { Number = answered, Data = ByteString.CopyFrom(new byte[sent]) });
                Assert.Equal(answered, (await call.ReadAsync())!.Data.Length);
                Assert.Null(await call.ReadAsync());
                throw new StatusException(StatusCode.Unknown, "It passed.");
            })).Code;
        }

        int limit = Server.RpcHosting.MaxMessage;
        var wide = new RpcChannelOptions { MaxReceiveLength = 4 * limit, MaxSendLength = 4 * limit };
        Assert.Equal(StatusCode.ResourceExhausted, await SizedAsync(wide, limit, 0));
        Assert.Equal(StatusCode.ResourceExhausted, await SizedAsync(wide, 0, limit));
        Assert.Equal(StatusCode.ResourceExhausted, await SizedAsync(new RpcChannelOptions { MaxSendLength = 1000 }, 1000, 0));
        Assert.Equal(StatusCode.ResourceExhausted, await SizedAsync(new RpcChannelOptions { MaxReceiveLength = 1000 }, 0, 1000));
        Assert.Equal(StatusCode.Unknown, await SizedAsync(new RpcChannelOptions(), limit - 64, limit - 64));
    }

    [Fact]
    public async Task Long_messages_and_details_do_not_break_the_trailers()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = (_, _) => throw new StatusException(
                StatusCode.Aborted, "x" + new string('é', 20_000), [Any.Pack(new Note { Text = new string('x', 20_000) })]),
        });
        using RpcChannel channel = host.Open();
        StatusException e = await TestHost.FailsAsync(() => new Echo.EchoClient(channel.Invoker).OnceAsync(new Note()));
        Assert.Equal(StatusCode.Aborted, e.Code);

        // Cut between characters.
        Assert.Equal("x" + new string('é', (StatusMapping.MaxMessage - 1) / 2), e.Message);
        Assert.Empty(e.Details);
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_unavailable_and_the_message_says_why()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        await host.StopAsync();
        StatusException e = await TestHost.FailsAsync(() => new Echo.EchoClient(channel.Invoker).OnceAsync(new Note()));
        Assert.Equal((StatusCode.Unavailable, "Connection refused"), (e.Code, e.Message));
        using var none = RpcChannel.ForUnixSocket("/nonexistent/socket");
        using AsyncServerStreamingCall<Note> call = new Echo.EchoClient(none.Invoker).Repeat(new Note());
        Assert.Equal(StatusCode.Unavailable, (await TestHost.FailsAsync(() => call.ReadAsync())).Code);
        using ChannelCall exchange = NodeChannel.Exchange(none);
        Assert.Equal(
            StatusCode.Unavailable, (await TestHost.FailsAsync(() => exchange.WriteAsync(new V1.ChannelMessage()).AsTask())).Code);
        Assert.Equal(StatusCode.Unavailable, (await TestHost.FailsAsync(() => exchange.ReadAsync().AsTask())).Code);
    }

    [Fact]
    public async Task A_server_that_stops_says_so()
    {
        var begun = new TaskCompletionSource();
        CancellationToken stopping = default;
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnRepeat = async (_, _, _) =>
            {
                begun.SetResult();
                await Task.Delay(Timeout.InfiniteTimeSpan, stopping);
            },
        });
        stopping = host.Stopping;
        using RpcChannel channel = host.Open();
        using AsyncServerStreamingCall<Note> call = new Echo.EchoClient(channel.Invoker).Repeat(new Note());
        Task<StatusException> failure = TestHost.FailsAsync(() => call.ReadAsync());
        await begun.Task.WaitAsync(TestHost.Patience);
        await host.StopAsync();
        Assert.Equal(StatusCode.Unavailable, (await failure).Code);
    }

    [Theory]
    [InlineData(401, StatusCode.Unauthenticated)]
    [InlineData(404, StatusCode.Unimplemented)]
    [InlineData(503, StatusCode.Unavailable)]
    [InlineData(200, StatusCode.Cancelled)]
    public async Task A_client_of_something_else_hears_a_status(int code, StatusCode expected)
    {
        await using TestHost host = await TestHost.StartRawAsync(http =>
        {
            http.Response.StatusCode = code;
            return http.Response.WriteAsync("<html>");
        });
        using RpcChannel channel = host.Open();
        StatusException e = await TestHost.FailsAsync(() => new Echo.EchoClient(channel.Invoker).OnceAsync(new Note()));
        Assert.Equal(expected, e.Code);
    }

    [Fact]
    public async Task A_call_that_finds_the_hosts_services_disposed_is_no_defect()
    {
        CancellationToken stopping = default;
        var begun = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            OnOnce = async (request, _) =>
            {
                begun.SetResult();
                await Task.WhenAny(Task.Delay(Timeout.InfiniteTimeSpan, stopping));
                throw new ObjectDisposedException("IServiceProvider");
            },
        });
        stopping = host.Stopping;
        using RpcChannel channel = host.Open();
        Task<StatusException> call = TestHost.FailsAsync(() => new Echo.EchoClient(channel.Invoker).OnceAsync(new Note()));
        await begun.Task;
        await host.StopAsync();
        Assert.Equal((StatusCode.Unavailable, "The server is stopping."), ((await call).Code, (await call).Message));
    }

    [Fact]
    public async Task A_writer_hears_of_a_connection_that_ended_by_either_of_HttpClients_exceptions()
    {
        foreach (Exception cause in (Exception[])
            [new IOException("gone", new InvalidOperationException("cause")), new HttpRequestException("gone", new InvalidOperationException("cause"))])
        {
            using var channel = new ChannelCall(
                new(new FailingWriter(cause), null!, Task.FromResult(new Metadata()),
                    () => throw new InvalidOperationException(), () => [], () => { }),
                CancellationToken.None);
            StatusException e = await Assert.ThrowsAsync<StatusException>(() => channel.WriteAsync(new V1.ChannelMessage()).AsTask());
            Assert.Equal((StatusCode.Unavailable, "cause"), (e.Code, e.Message));
        }
    }

    private sealed class FailingWriter(Exception cause) : IClientStreamWriter<V1.ChannelMessage>
    {
        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(V1.ChannelMessage message) => Task.FromException(cause);

        public Task WriteAsync(V1.ChannelMessage message, CancellationToken cancellationToken) => WriteAsync(message);

        public Task CompleteAsync() => Task.CompletedTask;
    }
}
