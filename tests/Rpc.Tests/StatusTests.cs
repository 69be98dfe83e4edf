using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using XenTwoLevelCkpt.Rpc.Client;
using XenTwoLevelCkpt.Rpc.Server;
using XenTwoLevelCkpt.Rpc.Standard;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>How calls end that do not succeed, and what goes beside the messages.</summary>
public class StatusTests
{
    public static TheoryData<StatusCode> Codes => new(System.Enum.GetValues<StatusCode>().Where(c => c != StatusCode.Ok));

    [Theory]
    [MemberData(nameof(Codes))]
    public async Task Every_code_reaches_the_client(StatusCode code)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = (_, _) => throw new StatusException(code, "für 100%\nnichts", [Any.Pack(new Note { Number = 5 })]),
        });
        using RpcChannel channel = host.Open();
        StatusException e = await FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()));
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
            Once = (_, _) => throw StatusException.Because(StatusCode.NotFound, "DOMAIN", "There is no domain 'x'."),
        });
        using RpcChannel channel = host.Open();
        StatusException e = await FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()));
        Assert.Equal("DOMAIN", e.Reason);
        Assert.Equal(StatusException.ErrorDomain, e.Find<ErrorInfo>()!.Domain);
    }

    [Fact]
    public async Task What_a_handler_throws_stays_at_the_server()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = (_, _) => throw new InvalidDataException("a secret"),
            Repeat = async (_, responses, _) =>
            {
                await responses.WriteAsync(new Note());
                throw new InvalidDataException("a secret");
            },
        });
        using RpcChannel channel = host.Open();
        StatusException e = await FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()));
        Assert.Equal(StatusCode.Internal, e.Code);
        Assert.DoesNotContain("secret", e.ToString(), StringComparison.Ordinal);
        using ServerStreamingCall<Note> call = channel.ServerStreaming(EchoMethods.Repeat, new Note());
        Assert.NotNull(await call.ReadAsync());
        e = await FailsAsync(async () => await call.ReadAsync());
        Assert.Equal(StatusCode.Internal, e.Code);
        Assert.DoesNotContain("secret", e.ToString(), StringComparison.Ordinal);
        // It says the same again.
        Assert.Same(e, await FailsAsync(async () => await call.ReadAsync()));
        IReadOnlyList<string> errors = host.TakeErrors();
        Assert.Equal(2, errors.Count);
        Assert.All(errors, error => Assert.Contains("a secret", error, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_failure_behind_messages_comes_after_them()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Repeat = async (_, responses, _) =>
            {
                await responses.WriteAsync(new Note { Number = 1 });
                await responses.WriteAsync(new Note { Number = 2 });
                throw new StatusException(StatusCode.DataLoss, "lost");
            },
        });
        using RpcChannel channel = host.Open();
        using ServerStreamingCall<Note> call = channel.ServerStreaming(EchoMethods.Repeat, new Note());
        Assert.Equal(1, (await call.ReadAsync())!.Number);
        Assert.Equal(2, (await call.ReadAsync())!.Number);
        Assert.Equal(StatusCode.DataLoss, (await FailsAsync(async () => await call.ReadAsync())).Code);
    }

    [Fact]
    public async Task Unknown_methods_and_services_are_unimplemented()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        foreach (string service in (string[])["xtlckpt.tests.Echo", "xtlckpt.tests.None"])
        {
            StatusException e = await FailsAsync(() => channel.UnaryAsync(
                new Method<Note, Note>(MethodKind.Unary, service, "None"), new Note()));
            Assert.Equal(StatusCode.Unimplemented, e.Code);
        }
    }

    [Fact]
    public async Task Metadata_goes_both_ways()
    {
        Metadata? seen = null;
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Repeat = async (request, responses, call) =>
            {
                seen = call.RequestHeaders;
                call.ResponseHeaders.Add("x-head", "h");
                call.ResponseHeaders.Add("x-head-bin", new byte[] { 0, 255 });
                call.ResponseTrailers.Add("x-tail", "t");
                call.ResponseTrailers.Add("x-tail-bin", new byte[] { 1 });
                if (request.Number > 0)
                {
                    await responses.WriteAsync(request);
                }

                if (request.Text.Length > 0)
                {
                    throw new StatusException(StatusCode.Aborted, request.Text);
                }
            },
        });
        using RpcChannel channel = host.Open();
        var headers = new Metadata();
        headers.Add("x-a", "1");
        headers.Add("x-a", "2");
        headers.Add("x-b-bin", new byte[] { 0, 1, 2, 3 });
        foreach (Note request in (Note[])[new Note(), new Note { Number = 1 }, new Note { Number = 1, Text = "no" }, new Note { Text = "no" }])
        {
            using ServerStreamingCall<Note> call =
                channel.ServerStreaming(EchoMethods.Repeat, request, new CallOptions(Headers: headers));
            Metadata head = await call.GetHeadersAsync();
            Metadata tail;
            if (request.Number > 0)
            {
                Assert.NotNull(await call.ReadAsync());
            }

            if (request.Text.Length == 0)
            {
                Assert.Null(await call.ReadAsync());
                tail = call.Trailers;
            }
            else
            {
                tail = (await FailsAsync(async () => await call.ReadAsync())).Trailers;
            }

            Assert.Equal("h", head.GetText("x-head"));
            Assert.Equal([0, 255], head.GetBinary("x-head-bin")!.Value.ToArray());
            Assert.Equal("t", tail.GetText("x-tail"));
            Assert.Equal([1], tail.GetBinary("x-tail-bin")!.Value.ToArray());
        }

        // HTTP may join the values of one name, and HttpClient does.
        Assert.Equal("1, 2", string.Join(", ", seen!.Entries.Where(e => e.Name == "x-a").Select(e => e.Text)));
        Assert.Equal([0, 1, 2, 3], seen.GetBinary("x-b-bin")!.Value.ToArray());
        // HTTP's and gRPC's own are not the handler's business.
        Assert.All(seen.Entries, e => Assert.StartsWith("x-", e.Name, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Limits_of_messages_hold_on_both_sides()
    {
        await using TestHost host = await TestHost.StartAsync(
            new EchoService(), new RpcServerOptions { MaxReceiveLength = 1000, MaxSendLength = 500 });
        using RpcChannel channel = host.Open(options: new RpcChannelOptions { MaxReceiveLength = 300, MaxSendLength = 1500 });
        async Task<StatusCode> Sized(int length)
        {
            var note = new Note { Data = ByteString.CopyFrom(new byte[length]) };
            return (await FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, note))).Code;
        }

        foreach (int length in (int[])[400, 700, 1200, 2000])
        {
            Assert.Equal(StatusCode.ResourceExhausted, await Sized(length));
        }

        // The connection and the server are as before.
        Assert.Equal(9, (await channel.UnaryAsync(EchoMethods.Once, new Note { Number = 9 })).Number);
    }

    [Fact]
    public async Task Long_messages_and_details_do_not_break_the_trailers()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = (_, _) => throw new StatusException(
                StatusCode.Aborted, new string('é', 20_000), [Any.Pack(new Note { Text = new string('x', 20_000) })]),
        });
        using RpcChannel channel = host.Open();
        StatusException e = await FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()));
        Assert.Equal(StatusCode.Aborted, e.Code);
        Assert.Equal(new string('é', StatusText.MaxOctets / 2), e.Message);
        Assert.Empty(e.Details);
    }

    [Fact]
    public async Task A_writer_learns_that_the_server_has_had_enough()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Sum = async (requests, call) =>
            {
                Assert.NotNull(await requests.ReadAsync());
                throw new StatusException(StatusCode.OutOfRange, "enough");
            },
        });
        using RpcChannel channel = host.Open();
        using ClientStreamingCall<Note, Note> call = channel.ClientStreaming(EchoMethods.Sum);
        var note = new Note { Data = ByteString.CopyFrom(new byte[100_000]) };
        StatusException e = await FailsAsync(async () =>
        {
            while (true)
            {
                await call.WriteAsync(note);
            }
        });
        Assert.Equal(StatusCode.OutOfRange, e.Code);
        Assert.Equal(StatusCode.OutOfRange, (await FailsAsync(call.CompleteAsync)).Code);
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_unavailable()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using RpcChannel channel = host.Open();
        await host.StopAsync();
        Assert.Equal(StatusCode.Unavailable, (await FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()))).Code);
        using var none = RpcChannel.ForUnixSocket("/nonexistent/socket");
        Assert.Equal(StatusCode.Unavailable, (await FailsAsync(() => none.UnaryAsync(EchoMethods.Once, new Note()))).Code);
        using BidirectionalCall<Note, Note> call = none.Bidirectional(EchoMethods.Each);
        Assert.Equal(StatusCode.Unavailable, (await FailsAsync(async () => await call.WriteAsync(new Note()))).Code);
        Assert.Equal(StatusCode.Unavailable, (await FailsAsync(async () => await call.ReadAsync())).Code);
    }

    [Fact]
    public async Task A_server_that_stops_says_so()
    {
        var begun = new TaskCompletionSource();
        await using TestHost host = await TestHost.StartAsync(
            new EchoService
            {
                Repeat = async (_, _, call) =>
                {
                    begun.SetResult();
                    await Task.Delay(Timeout.InfiniteTimeSpan, call.Stopping);
                },
            },
            stopping: stop => new RpcServerOptions { Stopping = stop });
        using RpcChannel channel = host.Open();
        using ServerStreamingCall<Note> call = channel.ServerStreaming(EchoMethods.Repeat, new Note());
        Task<StatusException> failure = FailsAsync(async () => await call.ReadAsync());
        await begun.Task.WaitAsync(TestHost.Patience);
        await host.StopAsync();
        Assert.Equal(StatusCode.Unavailable, (await failure).Code);
    }

    internal static async Task<StatusException> FailsAsync(Func<Task> call) =>
        await Assert.ThrowsAsync<StatusException>(() => call().WaitAsync(TestHost.Patience));
}
