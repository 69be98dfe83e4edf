using System.Collections.Frozen;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Logging;

namespace XenTwoLevelCkpt.Rpc.Server;

/// <summary>Serves services over HTTP/2 as gRPC (PROTOCOL-HTTP2 of gRPC). Everything of HTTP/2 itself is Kestrel's.
/// </summary>
public sealed class RpcServer
{
    internal const string EncodingHeader = "grpc-encoding";
    internal const string ContentType = "application/grpc";
    private const string AcceptEncodingHeader = "grpc-accept-encoding";
    private const string Identity = "identity";

    private readonly RpcServerOptions _options;
    private readonly RpcLog _log;
    private readonly FrozenDictionary<string, MethodHandler> _methods;
    private readonly FrozenSet<string> _services;

    /// <summary>Puts a server together.</summary>
    /// <param name="options">Its limits.</param>
    /// <param name="logger">Gets what handlers throw beside <see cref="StatusException"/>.</param>
    /// <param name="services">The services.</param>
    /// <exception cref="ArgumentException">Two services have one name.</exception>
    public RpcServer(RpcServerOptions options, ILogger logger, params IEnumerable<ServiceDefinition> services)
    {
        _options = options;
        _log = new RpcLog(logger);
        Services = [.. services.OrderBy(s => s.Name, StringComparer.Ordinal)];
        _services = Services.Select(s => s.Name).ToFrozenSet(StringComparer.Ordinal);
        if (_services.Count != Services.Count)
        {
            throw new ArgumentException("Two services have one name.", nameof(services));
        }

        _methods = Services.SelectMany(s => s.Handlers).ToFrozenDictionary(h => h.Path, StringComparer.Ordinal);
    }

    /// <summary>The services, in the order of their names.</summary>
    public IReadOnlyList<ServiceDefinition> Services { get; }

    /// <summary>Whether a request is for this server: it is gRPC, or its path is that of a service.</summary>
    /// <param name="request">The request.</param>
    public bool IsFor(HttpRequest request) => IsGrpc(request.ContentType) || _services.Contains(ServiceOf(request.Path.Value));

    /// <summary>Handles a request: a call of a method, or what is to be refused.</summary>
    /// <param name="http">The request. HTTP 415 where its content is not gRPC's, 405 where it is no POST, 426 where it is
    /// not HTTP/2.</param>
    public async Task HandleAsync(HttpContext http)
    {
        if (Refusal(http.Request) is int code)
        {
            http.Response.StatusCode = code;
            return;
        }

        http.Response.ContentType = ContentType;
        http.Response.Headers[AcceptEncodingHeader] = Identity;
        if (!_methods.TryGetValue(http.Request.Path.Value ?? "", out MethodHandler? handler))
        {
            string service = ServiceOf(http.Request.Path.Value);
            End(http, null, new StatusException(StatusCode.Unimplemented, _services.Contains(service)
                ? $"The service {service} has no such method."
                : "There is no such service."));
            return;
        }

        TimeSpan? timeout = null;
        string? text = http.Request.Headers[GrpcTimeout.Header];
        if (text is not null)
        {
            if (!GrpcTimeout.TryParse(text, out TimeSpan parsed))
            {
                End(http, null, new StatusException(StatusCode.Internal, "The header grpc-timeout is malformed."));
                return;
            }

            timeout = GrpcTimeout.IsFinite(parsed) ? parsed : null;
        }

        LiftLimits(http, handler);
        await CallAsync(http, handler, timeout).ConfigureAwait(false);
    }

    private static bool IsGrpc(string? contentType)
    {
        if (contentType is null || !contentType.StartsWith(ContentType, StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        // Not application/grpc-web, nor application/grpc+json.
        ReadOnlySpan<char> rest = contentType.AsSpan(ContentType.Length);
        if (rest.StartsWith("+proto", StringComparison.OrdinalIgnoreCase))
        {
            rest = rest["+proto".Length..];
        }

        return rest.IsEmpty || rest[0] is ';' or ' ';
    }

    private static string ServiceOf(string? path)
    {
        int slash = path is null or "" ? -1 : path.IndexOf('/', 1);
        return slash < 0 ? "" : path![1..slash];
    }

    private static int? Refusal(HttpRequest request) =>
        !HttpProtocol.IsHttp2(request.Protocol) ? StatusCodes.Status426UpgradeRequired
        : !HttpMethods.IsPost(request.Method) ? StatusCodes.Status405MethodNotAllowed
        : !IsGrpc(request.ContentType) ? StatusCodes.Status415UnsupportedMediaType
        : null;

    // A stream has no length that a limit could be meant for, and may rest for hours. A single request is bounded by the
    // longest message, and a client that does not send it does not hold the call open for ever.
    private static void LiftLimits(HttpContext http, MethodHandler handler)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
        {
            size.MaxRequestBodySize = null;
        }

        if (handler.RequestsAreStreamed && http.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
        {
            rate.MinDataRate = null;
        }
    }

    private async Task CallAsync(HttpContext http, MethodHandler handler, TimeSpan? timeout)
    {
        CancellationToken aborted = http.RequestAborted;
        using CancellationTokenSource? expiry =
            timeout is null ? null : CancellationTokenSource.CreateLinkedTokenSource(aborted);
        if (timeout == TimeSpan.Zero)
        {
            await expiry!.CancelAsync().ConfigureAwait(false);
        }
        else
        {
            expiry?.CancelAfter(timeout!.Value);
        }

        var context = new CallContext(
            http, timeout is null ? null : DateTimeOffset.UtcNow + timeout, expiry?.Token ?? aborted, _options.Stopping);
        StatusException? status = null;
        try
        {
            context.CancellationToken.ThrowIfCancellationRequested();
            await handler.RunAsync(new ServerCall(http, context, _options)).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            status = Judge(e, handler.Path, expiry, aborted);
        }

        // Nobody is there to read it.
        if (!aborted.IsCancellationRequested)
        {
            End(http, context, status);
        }
    }

    private StatusException Judge(
        Exception e, string path, CancellationTokenSource? expiry, CancellationToken aborted)
    {
        if (aborted.IsCancellationRequested)
        {
            return new StatusException(StatusCode.Cancelled, "The client is gone.", inner: e);
        }

        if (e is StatusException status)
        {
            return status;
        }

        if (expiry?.IsCancellationRequested == true)
        {
            return new StatusException(StatusCode.DeadlineExceeded, "The deadline has passed.", inner: e);
        }

        if (e is OperationCanceledException)
        {
            return _options.Stopping.IsCancellationRequested
                ? new StatusException(StatusCode.Unavailable, "The server is stopping.", inner: e)
                : new StatusException(StatusCode.Cancelled, "The call was cancelled.", inner: e);
        }

        // What it says may be nobody's business: it is in the log.
        _log.HandlerFailed(path, e);
        return new StatusException(StatusCode.Internal, "The call failed; the server's log tells why.", inner: e);
    }

    private static void End(HttpContext http, CallContext? context, StatusException? status)
    {
        // Without a message, headers and trailers are one block ("Trailers-Only").
        bool alone = status is not null && !http.Response.HasStarted;
        context?.ApplyHeaders();

        IHeaderDictionary? target = alone
            ? http.Response.Headers
            : http.Features.Get<IHttpResponseTrailersFeature>()?.Trailers;
        if (target is null)
        {
            return;
        }

        context?.ApplyTrailers(target);
        target[StatusWire.Code] = StatusWire.CodeText(status?.Code ?? StatusCode.Ok);
        if (status is null)
        {
            return;
        }

        if (status.Message.Length > 0)
        {
            target[StatusWire.Message] = StatusText.Encode(status.Message);
        }

        if (StatusWire.DetailsText(status) is { } details)
        {
            target[StatusWire.Details] = details;
        }
    }
}
