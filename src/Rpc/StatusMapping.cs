using System.Text;
using Google.Protobuf;
using Grpc.Core;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>Between <see cref="StatusException"/> and what gRPC's library throws and takes. Details travel as
/// google.rpc.Status in grpc-status-details-bin.</summary>
public static class StatusMapping
{
    /// <summary>Octets of a message that are sent. Clients commonly take 8 KiB of trailers in all, and an octet that is no
    /// printable ASCII is three of them.</summary>
    internal const int MaxMessage = 2048;

    /// <summary>Octets of google.rpc.Status that are sent: with the message they stay below 8 KiB.</summary>
    internal const int MaxDetails = 4096;

    /// <summary>The status as gRPC's library sends it.</summary>
    /// <param name="e">The exception.</param>
    public static RpcException ToRpc(StatusException e)
    {
        ArgumentNullException.ThrowIfNull(e);
        string message = Cut(e.Message);
        if (e.Details.Count > 0)
        {
            var status = new Google.Rpc.Status { Code = (int)e.Code, Message = message, Details = { e.Details } };
            if (status.CalculateSize() <= MaxDetails)
            {
                return status.ToRpcException();
            }
        }

        return new RpcException(new Grpc.Core.Status(e.Code, message));
    }

    /// <summary>The status as this project's callers get it.</summary>
    /// <param name="e">What the library threw.</param>
    /// <param name="cancellation">The caller's own token.</param>
    /// <returns>A <see cref="StatusException"/>; an <see cref="OperationCanceledException"/> where the caller gave the call up.
    /// </returns>
    public static Exception From(RpcException e, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(e);
        if (e.StatusCode == StatusCode.Cancelled && cancellation.IsCancellationRequested)
        {
            return new OperationCanceledException(e.Message, e, cancellation);
        }

        // A code that a later version of gRPC may have is told as UNKNOWN.
        StatusCode code = IsConnectionLost(e) ? StatusCode.Unavailable
            : e.StatusCode is > StatusCode.OK and <= StatusCode.Unauthenticated ? e.StatusCode : StatusCode.Unknown;
        return new StatusException(code, Message(e, code), Details(e), e);
    }

    // What befell the stream and what befell its connection are exceptions of one type in HttpClient, with one set of codes, and
    // differ in their text alone (.NET has it in English only). The library tells both by the code, such as INTERNAL where a ping
    // was not answered.
    private static bool IsConnectionLost(RpcException e)
    {
        for (Exception? at = e.Status.DebugException; at is not null; at = at.InnerException)
        {
            if (at is HttpProtocolException && !at.Message.Contains("reset the stream", StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    // The library's own text names each exception of the chain; the innermost one tells what befell the connection.
    private static string Message(RpcException e, StatusCode code)
    {
        if (code != StatusCode.Unavailable || e.Status.DebugException is not { } cause)
        {
            return e.Status.Detail;
        }

        while (cause.InnerException is { } inner)
        {
            cause = inner;
        }

        return cause.Message;
    }

    private static Google.Protobuf.Collections.RepeatedField<Google.Protobuf.WellKnownTypes.Any> Details(RpcException e)
    {
        try
        {
            return e.GetRpcStatus()?.Details ?? [];
        }
        catch (InvalidProtocolBufferException)
        {
            // The code and the message tell enough.
            return [];
        }
    }

    private static string Cut(string text)
    {
        // An octet a character is the least.
        if (text.Length <= MaxMessage / 3 || Encoding.UTF8.GetByteCount(text) <= MaxMessage)
        {
            return text;
        }

        byte[] octets = Encoding.UTF8.GetBytes(text);
        int length = MaxMessage;
        while ((octets[length] & 0xC0) == 0x80)
        {
            // Not within a character.
            length--;
        }

        return Encoding.UTF8.GetString(octets, 0, length);
    }
}
