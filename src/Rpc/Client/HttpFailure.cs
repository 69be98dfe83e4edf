using System.Net;

namespace XenTwoLevelCkpt.Rpc.Client;

/// <summary>What HTTP says instead of a status (http-grpc-status-mapping.md, and PROTOCOL-HTTP2, "Errors").</summary>
internal static class HttpFailure
{
    /// <summary>Judges an answer's head.</summary>
    /// <returns>Null where it is gRPC's.</returns>
    internal static StatusException? Of(HttpResponseMessage answer)
    {
        if (answer.StatusCode != HttpStatusCode.OK)
        {
            StatusCode code = answer.StatusCode switch
            {
                HttpStatusCode.BadRequest => StatusCode.Internal,
                HttpStatusCode.Unauthorized => StatusCode.Unauthenticated,
                HttpStatusCode.Forbidden => StatusCode.PermissionDenied,
                HttpStatusCode.NotFound => StatusCode.Unimplemented,
                HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable
                    or HttpStatusCode.GatewayTimeout => StatusCode.Unavailable,
                _ => StatusCode.Unknown,
            };
            return new StatusException(code, $"The server answered with HTTP status {(int)answer.StatusCode}.");
        }

        string? type = answer.Content.Headers.ContentType?.MediaType;
        return type is not null && type.StartsWith(Server.RpcServer.ContentType, StringComparison.OrdinalIgnoreCase)
            ? null
            : new StatusException(StatusCode.Unknown, $"The answer's content type is '{type}', not that of gRPC.");
    }

    /// <summary>Judges an exception of HttpClient or of a stream.</summary>
    internal static StatusException Of(Exception e)
    {
        for (Exception? at = e; at is not null; at = at.InnerException)
        {
            if (at is HttpProtocolException protocol && IsReset(protocol) && OfReset(protocol.ErrorCode) is { } code)
            {
                return new StatusException(code, $"The server reset the stream: {protocol.Message}", inner: e);
            }
        }

        // No connection came about, it broke, or it was ended: by the server, or because it did not answer a ping.
        return e is OperationCanceledException
            ? new StatusException(StatusCode.Cancelled, "The stream was given up.", inner: e)
            : new StatusException(StatusCode.Unavailable, (e.InnerException ?? e).Message, inner: e);
    }

    // What befell the stream and what befell its connection are exceptions of one type, with one set of codes, and differ
    // in their text alone. .NET has it in English only.
    private static bool IsReset(HttpProtocolException e) =>
        e.Message.Contains("reset the stream", StringComparison.Ordinal);

    // HTTP/2's error codes (RFC 9113, section 7).
    private static StatusCode? OfReset(long code) => code switch
    {
        7 => StatusCode.Unavailable,
        8 => StatusCode.Cancelled,
        11 => StatusCode.ResourceExhausted,
        12 => StatusCode.PermissionDenied,
        >= 0 and <= 10 => StatusCode.Internal,
        _ => null,
    };
}
