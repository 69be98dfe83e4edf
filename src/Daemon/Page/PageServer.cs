using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace XenTwoLevelCkpt.Daemon.Page;

/// <summary>Limits of the page.</summary>
internal sealed record PageLimits
{
    /// <summary>How many viewers there may be at a time.</summary>
    internal int Viewers { get; init; } = 16;

    /// <summary>How many connections there may be: a browser has up to six.</summary>
    internal int Connections { get; init; } = 128;

    /// <summary>How long a viewer may take nothing before it is dropped.</summary>
    internal TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often a viewer hears something, so that both sides notice when the other one is gone.</summary>
    internal TimeSpan Beat { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many marks are kept.</summary>
    internal int History { get; init; } = PageHistory.DefaultCapacity;
}

/// <summary>Serves the picture of the cluster as this node knows it: a page, and the events that it draws (WHATWG HTML,
/// "Server-sent events"). Nothing that is asked here changes anything.</summary>
internal sealed class PageServer : IAsyncDisposable
{
    private const string EventsPath = "/events";
    private const string Html = "text/html; charset=utf-8", Script = "text/javascript; charset=utf-8", Css = "text/css; charset=utf-8";

    // What the page is made of comes from here, and no text becomes markup or script.
    private const string Policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

    private readonly NodeSettings _settings;
    private readonly PageLimits _limits;
    private readonly PageHistory _history;
    private readonly Dictionary<string, (string Type, byte[] Content)> _files = new(StringComparer.Ordinal)
    {
        ["/"] = (Html, Resource("index.html")),
        ["/page.js"] = (Script, Resource("page.js")),
        ["/page.css"] = (Css, [.. Resource("timeline.css"), .. Resource("page.css")]),
    };
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _feed;
    private readonly byte[] _hello;
    private int _viewers;

    /// <summary>Begins to follow a node.</summary>
    /// <param name="node">The node; may still be starting.</param>
    /// <param name="limits">Limits.</param>
    internal PageServer(NodeDaemon node, PageLimits limits)
    {
        _settings = node.Settings;
        _limits = limits;
        _history = new PageHistory(limits.History);
        string[] names = _settings.Nodes.Count > 1 ? [.. _settings.Nodes.Select(n => n.Name)] : [_settings.Node];
        _hello = JsonSerializer.SerializeToUtf8Bytes(
            new PageHello(
                _history.Run, _settings.Node, [.. names.Order(StringComparer.Ordinal)],
                names.Length > 1 ? _settings.Protocol : "bcs"),
            PageJson.Default.PageHello);
        _feed = new PageFeed(node, _history).RunAsync(_stop.Token);
    }

    /// <summary>The marks.</summary>
    internal PageHistory History => _history;

    /// <summary>How many viewers there are.</summary>
    internal int Viewers => Volatile.Read(ref _viewers);

    /// <summary>Listens for browsers.</summary>
    /// <param name="kestrel">Kestrel's options.</param>
    /// <param name="endPoint">The address.</param>
    /// <param name="limits">Limits.</param>
    internal static void Listen(KestrelServerOptions kestrel, IPEndPoint endPoint, PageLimits limits) =>
        kestrel.Listen(endPoint, listen =>
        {
            int connections = 0;
            listen.Protocols = HttpProtocols.Http1;
            _ = listen.Use(next => async connection =>
            {
                try
                {
                    // One too many ends with the return.
                    if (Interlocked.Increment(ref connections) <= limits.Connections)
                    {
                        await next(connection).ConfigureAwait(false);
                    }
                }
                finally
                {
                    _ = Interlocked.Decrement(ref connections);
                }
            });
        });

    /// <summary>Handles a request. HTTP 405 for anything but GET and HEAD, 404 for what is not there, 421 where the page is
    /// asked for by a name that is not this host's, 503 where there are too many viewers.</summary>
    /// <param name="http">The request.</param>
    /// <param name="stopping">Ends viewers' streams.</param>
    internal async Task HandleAsync(HttpContext http, CancellationToken stopping)
    {
        HttpResponse response = http.Response;
        IHeaderDictionary headers = response.Headers;
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers.CacheControl = "no-store";
        string path = http.Request.Path.Value ?? "";
        if (!IsOurs(http.Request.Host.Host))
        {
            response.StatusCode = StatusCodes.Status421MisdirectedRequest;
        }
        else if (!HttpMethods.IsGet(http.Request.Method) && !HttpMethods.IsHead(http.Request.Method))
        {
            response.StatusCode = StatusCodes.Status405MethodNotAllowed;
            headers.Allow = "GET, HEAD";
        }
        else if (_files.TryGetValue(path, out (string Type, byte[] Content) file))
        {
            response.ContentType = file.Type;
            response.ContentLength = file.Content.Length;
            if (HttpMethods.IsGet(http.Request.Method))
            {
                await response.Body.WriteAsync(file.Content, http.RequestAborted).ConfigureAwait(false);
            }
        }
        else if (path == EventsPath)
        {
            await AdmitAsync(http, stopping).ConfigureAwait(false);
        }
        else
        {
            response.StatusCode = StatusCodes.Status404NotFound;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _feed.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private static byte[] Resource(string name)
    {
        using Stream stream = typeof(PageServer).Assembly.GetManifestResourceStream($"page/{name}")!;
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }

    // A page of another site whose name is made to lead here would be of the same origin as this one, and could read it.
    private bool IsOurs(string host) =>
        IPAddress.TryParse(host, out _)
        || new[] { "localhost", _settings.Node, Environment.MachineName }.Contains(host, StringComparer.OrdinalIgnoreCase);

    private async Task AdmitAsync(HttpContext http, CancellationToken stopping)
    {
        if (Interlocked.Increment(ref _viewers) > _limits.Viewers)
        {
            _ = Interlocked.Decrement(ref _viewers);
            http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            http.Response.Headers.RetryAfter = "5";
            return;
        }

        try
        {
            http.Response.ContentType = "text/event-stream";
            if (HttpMethods.IsGet(http.Request.Method))
            {
                using var end = CancellationTokenSource.CreateLinkedTokenSource(http.RequestAborted, stopping);
                await StreamAsync(http, After(http.Request), end.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // It is gone, or the daemon ends.
        }
        catch (TimeoutException)
        {
            http.Abort();
        }
        finally
        {
            _ = Interlocked.Decrement(ref _viewers);
        }
    }

    // The last mark that the viewer has: a browser's own header, or what the page asks for when it makes a new connection.
    // That of another run says nothing.
    private long After(HttpRequest request)
    {
        string? id = request.Headers["Last-Event-ID"];
        id = string.IsNullOrEmpty(id) ? request.Query["after"] : id;
        return id?.Split('-') is [string run, string number] && run == _history.Run
            && long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long after)
            && after <= _history.Count ? after : 0;
    }

    private async Task StreamAsync(HttpContext http, long after, CancellationToken cancellationToken)
    {
        PipeWriter output = http.Response.BodyWriter;
        long version = 0;
        Write(output, "retry: 1000\n", "hello", _hello);
        while (true)
        {
            PageNews news = _history.Read(after, version);
            if (news.Missed > 0)
            {
                Write(output, "", "gap", JsonSerializer.SerializeToUtf8Bytes(new PageGap(news.Missed), PageJson.Default.PageGap));
            }

            after = news.First - 1;
            foreach (byte[] mark in news.Marks)
            {
                Write(output, string.Create(CultureInfo.InvariantCulture, $"id: {_history.Run}-{++after}\n"), "mark", mark);
            }

            if (news.Now is { } now)
            {
                version = news.Version;
                Write(output, "", "now", now);
            }

            await FlushAsync(output, cancellationToken).ConfigureAwait(false);
            if (news.Marks.Length == 0 && news.Now is null)
            {
                await news.Changed.WaitAsync(_limits.Beat, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                cancellationToken.ThrowIfCancellationRequested();
                if (!news.Changed.IsCompleted)
                {
                    Write(output, "", "beat", "{}"u8);
                }
            }
        }
    }

    private async Task FlushAsync(PipeWriter output, CancellationToken cancellationToken)
    {
        ValueTask<FlushResult> flush = output.FlushAsync(cancellationToken);
        if (!flush.IsCompletedSuccessfully)
        {
            _ = await flush.AsTask().WaitAsync(_limits.Patience, cancellationToken).ConfigureAwait(false);
        }
    }

    private static void Write(PipeWriter output, string fields, string kind, ReadOnlySpan<byte> data)
    {
        _ = Encoding.UTF8.GetBytes($"{fields}event: {kind}\ndata: ", output);
        output.Write(data);
        output.Write("\n\n"u8);
    }
}
