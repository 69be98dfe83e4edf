using System.Net;
using Grpc.Core;
using Xunit;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Clients that do not keep to the protocol, and what this project's settings make of them.</summary>
public class RawTests
{
    [Theory]
    [InlineData("application/json")]
    [InlineData("application/grpc-web")]
    [InlineData("application/grpc-web+proto")]
    [InlineData(null)]
    public async Task Another_content_type_is_415(string? type)
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, (await client.CallAsync("Once", Frames.Of(new Note()), type)).Http);
    }

    [Fact]
    public async Task Another_path_is_404_or_unimplemented()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        Assert.Equal(
            HttpStatusCode.NotFound,
            (await client.SendAsync("timeline.html", new ByteArrayContent([]), "text/html", null, null, "POST", null)).Http);
        Assert.Equal("12", (await client.CallAsync("None", Frames.Of(new Note()))).Status);
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
        foreach (byte[] body in (byte[][])
        [
            [0], [0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 9, 8, 1], [0, 0, 0, 0, 1, 0xFF], [0, 0x00, 0x40, 0x00, 0x01],
            [0, 0x7F, 0xFF, 0xFF, 0xFF, 1, 2, 3], [0, 0xFF, 0xFF, 0xFF, 0xFF], [1, 0, 0, 0, 1, 1], [2, 0, 0, 0, 0],
        ])
        {
            RawAnswer answer = await client.CallAsync(method, body);
            Assert.True(answer.Status is not (null or "0"), $"{answer.Status} for {Convert.ToHexString(body)}");
            Assert.Equal(HttpStatusCode.OK, answer.Http);
        }

        _ = host.TakeErrors();
        Assert.Equal("0", (await client.CallAsync("Once", Frames.Of(new Note()))).Status);
    }

    [Fact]
    public async Task A_message_longer_than_the_limit_is_refused_by_its_first_octets()
    {
        await using TestHost host = await TestHost.StartAsync(new EchoService());
        using var client = new RawClient(host.Address);
        foreach (string method in (string[])["Once", "Repeat", "Sum", "Each"])
        {
            // The rest never comes.
            Assert.Equal("8", (await client.CallAsync(method, [0, 0x00, 0x40, 0x00, 0x01])).Status);
        }
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

    [Fact]
    public async Task A_batch_that_is_none_ends_its_stream_and_nothing_else()
    {
        await using TestHost host = await TestHost.StartNodeAsync(new FakeNode());
        using var client = new RawClient(host.Address);
        byte[] hello = Frames.Of(new V1.ChannelMessage { Hello = new V1.Hello { Node = "a" } });
        RawAnswer answer = await client.SendAsync(
            "xtlckpt.v1.NodeChannel/Exchange", new ByteArrayContent([.. hello, 0, 0, 0, 0, 1, 0xFF]), "application/grpc", null, null,
            "POST", null);
        Assert.Equal(((int)StatusCode.Internal).ToString(System.Globalization.CultureInfo.InvariantCulture), answer.Status);
    }
}
