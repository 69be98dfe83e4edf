using Microsoft.AspNetCore.Http;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>A call as its handler sees it.</summary>
public sealed class CallContext
{
    private readonly HttpContext _http;
    private Metadata? _requestHeaders;
    private Metadata? _responseHeaders;
    private Metadata? _responseTrailers;

    internal CallContext(HttpContext http, DateTimeOffset? deadline, CancellationToken cancellation, CancellationToken stopping)
    {
        _http = http;
        Deadline = deadline;
        CancellationToken = cancellation;
        Stopping = stopping;
    }

    /// <summary>Cancelled when the client gives the call up, its connection ends, or the deadline passes. A handler that
    /// does not heed it keeps the call open.</summary>
    public CancellationToken CancellationToken { get; }

    /// <summary>Cancelled when the server is to stop. Calls that end by themselves may go on; others end, by the exception
    /// that this token makes: the client sees <see cref="StatusCode.Unavailable"/>.</summary>
    public CancellationToken Stopping { get; }

    /// <summary>When the caller gives up, by this host's clock; null for never.</summary>
    public DateTimeOffset? Deadline { get; }

    /// <summary>The path: <c>/service/method</c>.</summary>
    public string Path => _http.Request.Path.Value ?? "";

    /// <summary>The client's address; null for a Unix domain socket.</summary>
    public System.Net.IPAddress? Peer => _http.Connection.RemoteIpAddress;

    /// <summary>What the client sent before its messages.</summary>
    /// <exception cref="StatusException"><see cref="StatusCode.Internal"/>: octets that are not base64.</exception>
    public Metadata RequestHeaders => _requestHeaders ??= ReadHeaders();

    /// <summary>Goes out before the first message; what is added later does not.</summary>
    public Metadata ResponseHeaders => _responseHeaders ??= new Metadata();

    /// <summary>Goes out behind the last message, with the status. Clients commonly take 8 KiB in all.</summary>
    public Metadata ResponseTrailers => _responseTrailers ??= new Metadata();

    /// <summary>Sends the headers now. Otherwise they go out with the first message.</summary>
    public Task SendHeadersAsync()
    {
        ApplyHeaders();
        return _http.Response.StartAsync(CancellationToken);
    }

    internal void ApplyHeaders()
    {
        if (_responseHeaders is null || _http.Response.HasStarted)
        {
            return;
        }

        foreach (MetadataEntry entry in _responseHeaders.Entries)
        {
            _http.Response.Headers.Append(entry.Name, entry.Encoded);
        }

        _responseHeaders = null;
    }

    internal void ApplyTrailers(IHeaderDictionary target)
    {
        if (_responseTrailers is null)
        {
            return;
        }

        foreach (MetadataEntry entry in _responseTrailers.Entries)
        {
            target.Append(entry.Name, entry.Encoded);
        }
    }

    private Metadata ReadHeaders()
    {
        var metadata = new Metadata();
        foreach ((string name, Microsoft.Extensions.Primitives.StringValues values) in _http.Request.Headers)
        {
            foreach (string? value in values)
            {
                if (!metadata.TryTake(name, value ?? ""))
                {
                    throw new StatusException(StatusCode.Internal, $"The metadata '{name}' is not base64.");
                }
            }
        }

        return metadata;
    }
}
