using System.Net;
using System.Net.Http.Headers;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>What a server answered, byte by byte.</summary>
internal sealed record RawAnswer(
    HttpStatusCode Http, string? ContentType, byte[] Body, Dictionary<string, string> Headers,
    Dictionary<string, string> Trailers)
{
    /// <summary>grpc-status, wherever it is.</summary>
    internal string? Status => Headers.GetValueOrDefault("grpc-status") ?? Trailers.GetValueOrDefault("grpc-status");
}

/// <summary>HTTP/2 requests with any bytes, also wrong ones.</summary>
internal sealed class RawClient(Uri address) : IDisposable
{
    private readonly HttpMessageInvoker _http = new(new SocketsHttpHandler { UseProxy = false });

    internal Task<RawAnswer> CallAsync(
        string method, byte[] body, string? contentType = "application/grpc", string? encoding = null, string? timeout = null,
        string verb = "POST", Version? version = null) =>
        SendAsync("xtlckpt.tests.Echo/" + method, new ByteArrayContent(body), contentType, encoding, timeout, verb, version);

    /// <summary>A call whose requests never end.</summary>
    internal Task<RawAnswer> OpenStreamAsync(string method, string timeout) =>
        SendAsync("xtlckpt.tests.Echo/" + method, new EndlessContent(), "application/grpc", null, timeout, "POST", null);

    internal async Task<RawAnswer> SendAsync(
        string path, HttpContent content, string? contentType, string? encoding, string? timeout, string verb, Version? version)
    {
        using var request = new HttpRequestMessage(new HttpMethod(verb), new Uri(address, path))
        {
            Version = version ?? HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content,
        };
        content.Headers.ContentType = contentType is null ? null : MediaTypeHeaderValue.Parse(contentType);
        foreach ((string name, string? value) in (ReadOnlySpan<(string, string?)>)[("grpc-encoding", encoding), ("grpc-timeout", timeout)])
        {
            if (value is not null)
            {
                _ = request.Headers.TryAddWithoutValidation(name, value);
            }
        }

        using HttpResponseMessage answer = await _http.SendAsync(request, default).WaitAsync(TestHost.Patience);
        byte[] body = await answer.Content.ReadAsByteArrayAsync().WaitAsync(TestHost.Patience);
        return new RawAnswer(
            answer.StatusCode, answer.Content.Headers.ContentType?.ToString(), body, Table(answer.Headers),
            Table(answer.TrailingHeaders));
    }

    public void Dispose() => _http.Dispose();

    private static Dictionary<string, string> Table(HttpResponseHeaders headers) =>
        headers.ToDictionary(h => h.Key, h => string.Join(',', h.Value), StringComparer.OrdinalIgnoreCase);

    private sealed class EndlessContent : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.FlushAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
