using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using XenTwoLevelCkpt.Rpc.Client;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Peers that do not keep to the protocol.</summary>
public class RawTests
{
    [Fact]
    public async Task The_bytes_of_a_good_call_are_those_of_the_protocol()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        byte[] body = Frames.Of(new Note { Text = "abc" });
        foreach (string type in (string[])["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"])
        {
            RawAnswer answer = await client.CallAsync("Once", body, type);
            Assert.Equal(HttpStatusCode.OK, answer.Http);
            Assert.Equal("application/grpc", answer.ContentType);
            Assert.Equal(body, answer.Body);
            Assert.Equal("0", answer.Trailers["grpc-status"]);
            Assert.DoesNotContain("grpc-status", answer.Headers.Keys);
            Assert.DoesNotContain("grpc-message", answer.Trailers.Keys);
        }
    }

    [Fact]
    public async Task A_failure_without_messages_is_trailers_only()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService
        {
            Once = (_, _) => throw new StatusException(StatusCode.NotFound, "nicht für dich"),
        });
        using var client = new RawClient(host.Address);
        RawAnswer answer = await client.CallAsync("Once", Frames.Of(new Note()));
        Assert.Equal(HttpStatusCode.OK, answer.Http);
        Assert.Equal("application/grpc", answer.ContentType);
        Assert.Equal("5", answer.Headers["grpc-status"]);
        Assert.Equal("nicht f%C3%BCr dich", answer.Headers["grpc-message"]);
        Assert.Empty(answer.Trailers);
        Assert.Empty(answer.Body);
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("application/grpc-web")]
    [InlineData("application/grpc-web+proto")]
    [InlineData("application/grpc+json")]
    [InlineData("application/grpc+protobuf")]
    [InlineData(null)]
    public async Task Another_content_type_is_415(string? type)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        RawAnswer answer = await client.CallAsync("Once", Frames.Of(new Note()), type);
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, answer.Http);
        Assert.Null(answer.Status);
    }

    [Fact]
    public async Task Another_verb_is_405_and_another_path_is_somebody_elses()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await client.CallAsync("Once", [], verb: "PUT")).Http);
        RawAnswer answer = await client.SendAsync(
            "timeline.html", new ByteArrayContent([]), "text/html", null, null, "POST", null);
        Assert.Equal(HttpStatusCode.NotFound, answer.Http);
    }

    [Theory]
    [InlineData("Once")]
    [InlineData("Repeat")]
    [InlineData("Sum")]
    [InlineData("Each")]
    public async Task Broken_messages_end_the_call_and_nothing_else(string method)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        (byte[] Body, string Expected)[] cases =
        [
            ([0], "13"),
            ([0, 0, 0, 0], "13"),
            ([0, 0, 0, 0, 1], "13"),
            ([0, 0, 0, 0, 9, 8, 1], "13"),
            ([0, 0, 0, 0, 1, 0xFF], "13"),
            ([0, 0x00, 0x40, 0x00, 0x01], "8"),
            ([0, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2, 3], "8"),
            ([0, 0xFF, 0xFF, 0xFF, 0xFF], "8"),
            ([1, 0, 0, 0, 1, 1], "13"),
            ([2, 0, 0, 0, 0], "13"),
        ];
        foreach ((byte[] body, string expected) in cases)
        {
            RawAnswer answer = await client.CallAsync(method, body);
            Assert.True(answer.Status == expected, $"{answer.Status} for {Convert.ToHexString(body)}");
            Assert.Equal(HttpStatusCode.OK, answer.Http);
        }

        // The message before the broken one is handled.
        if (method == "Each")
        {
            RawAnswer answer = await client.CallAsync("Each", [.. Frames.Of(new Note { Number = 1 }), 0, 0]);
            Assert.Equal(Frames.Of(new Note { Number = 1 }), answer.Body);
            Assert.Equal("13", answer.Trailers["grpc-status"]);
        }
    }

    [Theory]
    [InlineData("Once")]
    [InlineData("Repeat")]
    public async Task One_request_is_neither_none_nor_two(string method)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        Assert.Equal("12", (await client.CallAsync(method, [])).Status);
        Assert.Equal("12", (await client.CallAsync(method, Frames.Of(new Note(), new Note()))).Status);
    }

    [Fact]
    public async Task Compression_is_refused_with_what_is_taken_instead()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        RawAnswer answer = await client.CallAsync("Once", [1, 0, 0, 0, 2, 1, 2], encoding: "gzip");
        Assert.Equal("12", answer.Status);
        Assert.Equal("identity", answer.Headers["grpc-accept-encoding"]);
        // Announced and not used.
        answer = await client.CallAsync("Once", Frames.Of(new Note { Number = 1 }), encoding: "gzip");
        Assert.Equal("0", answer.Status);
    }

    [Theory]
    [InlineData("1x")]
    [InlineData("S")]
    [InlineData("123456789S")]
    public async Task A_malformed_timeout_is_refused(string timeout)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        Assert.Equal("13", (await client.CallAsync("Once", Frames.Of(new Note()), timeout: timeout)).Status);
    }

    [Theory]
    [InlineData(400, StatusCode.Internal)]
    [InlineData(401, StatusCode.Unauthenticated)]
    [InlineData(403, StatusCode.PermissionDenied)]
    [InlineData(404, StatusCode.Unimplemented)]
    [InlineData(429, StatusCode.Unavailable)]
    [InlineData(503, StatusCode.Unavailable)]
    [InlineData(500, StatusCode.Unknown)]
    [InlineData(302, StatusCode.Unknown)]
    public Task A_client_understands_plain_http(int code, StatusCode expected) => ServesAsync(expected, http =>
    {
        http.Response.StatusCode = code;
        return Task.CompletedTask;
    });

    [Theory]
    [InlineData("text/html")]
    [InlineData(null)]
    public Task A_client_refuses_another_content_type(string? type) => ServesAsync(StatusCode.Unknown, http =>
    {
        http.Response.ContentType = type;
        return http.Response.WriteAsync("<html>");
    });

    [Theory]
    [InlineData(new byte[] { }, "0", StatusCode.Unimplemented)]
    [InlineData(new byte[] { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, "0", StatusCode.Unimplemented)]
    [InlineData(new byte[] { 0, 0, 0, 0, 0 }, null, StatusCode.Unknown)]
    [InlineData(new byte[] { 0, 0, 0, 0, 0 }, "x", StatusCode.Unknown)]
    [InlineData(new byte[] { 0, 0, 0, 0, 0 }, "99", StatusCode.Unknown)]
    [InlineData(new byte[] { 0, 0, 0, 0, 0 }, "7", StatusCode.PermissionDenied)]
    [InlineData(new byte[] { 0, 0, 0, 0, 9, 1 }, "0", StatusCode.Internal)]
    [InlineData(new byte[] { 0, 0, 0 }, "0", StatusCode.Internal)]
    [InlineData(new byte[] { 1, 0, 0, 0, 0 }, "0", StatusCode.Internal)]
    [InlineData(new byte[] { 9, 0, 0, 0, 0 }, "0", StatusCode.Internal)]
    [InlineData(new byte[] { 0, 0, 0, 0, 1, 0xFF }, "0", StatusCode.Internal)]
    [InlineData(new byte[] { 0, 0xFF, 0xFF, 0xFF, 0xFF }, "0", StatusCode.ResourceExhausted)]
    public Task A_client_survives_a_broken_answer(byte[] body, string? status, StatusCode expected) =>
        ServesAsync(expected, async http =>
        {
            http.Response.ContentType = "application/grpc";
            await http.Response.Body.WriteAsync(body);
            if (status is not null)
            {
                http.Response.AppendTrailer("grpc-status", status);
            }
        });

    [Theory]
    [InlineData(7, StatusCode.Unavailable)]
    [InlineData(8, StatusCode.Cancelled)]
    [InlineData(11, StatusCode.ResourceExhausted)]
    [InlineData(1, StatusCode.Internal)]
    [InlineData(2, StatusCode.Internal)]
    public Task A_client_understands_resets(int code, StatusCode expected) => ServesAsync(expected, async http =>
    {
        http.Response.ContentType = "application/grpc";
        await http.Response.Body.FlushAsync();
        http.Features.Get<IHttpResetFeature>()!.Reset(code);
    });

    [Fact]
    public async Task A_stream_that_is_refused_fails_and_does_not_hang()
    {
        int requests = 0;
        await using TestHost host = await TestHost.StartRawAsync(http =>
        {
            _ = Interlocked.Increment(ref requests);
            http.Features.Get<IHttpResetFeature>()!.Reset(7);
            return Task.CompletedTask;
        });
        using RpcChannel channel = host.Open();
        Assert.Equal(
            StatusCode.Unavailable, (await StatusTests.FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()))).Code);
        Assert.True(requests > 1, "HttpClient does not repeat refused requests any more");
        using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
        Assert.Equal(StatusCode.Unavailable, (await StatusTests.FailsAsync(async () =>
        {
            while (true)
            {
                await call.WriteAsync(new Note());
            }
        })).Code);
        Assert.Equal(StatusCode.Unavailable, (await StatusTests.FailsAsync(async () => await call.ReadAsync())).Code);
    }

    [Fact]
    public async Task A_stream_of_requests_is_not_sent_twice()
    {
        int requests = 0;
        await using TestHost host = await TestHost.StartRawAsync(async http =>
        {
            if (Interlocked.Increment(ref requests) == 1)
            {
                http.Features.Get<IHttpResetFeature>()!.Reset(7);
                return;
            }

            // Takes what comes, and would wait for ever for the first message, which the other stream had.
            http.Features.Get<IHttpMinRequestBodyDataRateFeature>()!.MinDataRate = null;
            http.Response.ContentType = "application/grpc";
            await http.Response.StartAsync();
            await http.Request.Body.CopyToAsync(Stream.Null, http.RequestAborted);
        });
        using RpcChannel channel = host.Open();
        using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
        Assert.Equal(
            StatusCode.Unavailable, (await StatusTests.FailsAsync(async () => await call.ReadAsync())).Code);
        _ = host.TakeErrors();
    }

    [Theory]
    [InlineData(7, StatusCode.Unavailable)]
    [InlineData(8, StatusCode.Cancelled)]
    [InlineData(11, StatusCode.ResourceExhausted)]
    [InlineData(2, StatusCode.Internal)]
    public async Task A_stream_that_is_reset_before_it_is_answered_tells_why(int code, StatusCode expected)
    {
        await using TestHost host = await TestHost.StartRawAsync(async http =>
        {
            _ = await http.Request.Body.ReadAtLeastAsync(new byte[5], 5);
            http.Features.Get<IHttpResetFeature>()!.Reset(code);
        });
        using RpcChannel channel = host.Open();
        using BidirectionalCall<Note, Note> call = channel.Bidirectional(EchoMethods.Each);
        Assert.Equal(expected, (await StatusTests.FailsAsync(async () =>
        {
            while (true)
            {
                await call.WriteAsync(new Note());
            }
        })).Code);
        Assert.Equal(expected, (await StatusTests.FailsAsync(async () => await call.ReadAsync())).Code);
    }

    private static async Task ServesAsync(StatusCode expected, RequestDelegate answer)
    {
        await using TestHost host = await TestHost.StartRawAsync(answer);
        using RpcChannel channel = host.Open();
        StatusException e = await StatusTests.FailsAsync(() => channel.UnaryAsync(EchoMethods.Once, new Note()));
        Assert.Equal(expected, e.Code);
    }
}
