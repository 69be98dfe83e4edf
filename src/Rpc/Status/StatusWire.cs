using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.WellKnownTypes;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>Statuses as trailers: grpc-status, grpc-message, grpc-status-details-bin.</summary>
internal static class StatusWire
{
    internal const string Code = "grpc-status";
    internal const string Message = "grpc-message";
    internal const string Details = "grpc-status-details-bin";

    /// <summary>Octets of google.rpc.Status that are sent: with the message they stay below the 8 KiB of trailers that
    /// clients commonly take.</summary>
    internal const int MaxDetails = 4096;

    /// <summary>The value of grpc-status.</summary>
    internal static string CodeText(StatusCode code) => ((int)code).ToString(CultureInfo.InvariantCulture);

    /// <summary>The value of grpc-status-details-bin, or null where there is nothing to tell or no room for it.</summary>
    internal static string? DetailsText(StatusException e)
    {
        if (e.Details.Count == 0)
        {
            return null;
        }

        var status = new Standard.Status { Code = (int)e.Code, Message = e.Message };
        status.Details.AddRange(e.Details);
        return status.CalculateSize() <= MaxDetails ? MetadataEntry.ToBase64(status.ToByteArray()) : null;
    }

    /// <summary>Reads a status from trailers.</summary>
    /// <returns>Null for OK.</returns>
    internal static StatusException? Read(Metadata trailers, string? code, string? message)
    {
        if (!int.TryParse(code, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            return new StatusException(
                StatusCode.Unknown,
                code is null ? "The answer ended without a status." : "The answer's status is no number.")
            { Trailers = trailers };
        }

        if (number == 0)
        {
            return null;
        }

        // A code that a later version of gRPC may have is told as UNKNOWN.
        StatusCode known = number <= (int)StatusCode.Unauthenticated ? (StatusCode)number : StatusCode.Unknown;
        return new StatusException(known, StatusText.Decode(message ?? ""), ReadDetails(trailers)) { Trailers = trailers };
    }

    private static RepeatedField<Any> ReadDetails(Metadata trailers)
    {
        try
        {
            return trailers.GetBinary(Details) is { } octets ? Standard.Status.Parser.ParseFrom(octets.Span).Details : [];
        }
        catch (InvalidProtocolBufferException)
        {
            // The code and the message tell enough.
            return [];
        }
    }
}
