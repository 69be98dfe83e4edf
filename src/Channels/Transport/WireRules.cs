using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What each message has to be by itself (node_channel.proto), and how a stream ends that breaks it.</summary>
internal static class WireRules
{
    internal const uint Version = 1;

    /// <summary>The most frames of a batch, by the contract.</summary>
    internal const uint MaxFrames = 65_536;

    /// <summary>Checks what a Hello says of itself.</summary>
    /// <exception cref="StatusException">It is not for this node.</exception>
    internal static Hello Hello(ChannelMessage? message, Guid cluster, int headerSize)
    {
        if (message?.Hello is not { } hello)
        {
            throw Invalid("The first message of a stream is a Hello.");
        }

        if (hello.ProtocolVersion != Version)
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, "PROTOCOL_VERSION",
                $"This node speaks version {Version}, not {hello.ProtocolVersion}.");
        }

        if (!string.Equals(hello.ClusterId, cluster.ToString("D"), StringComparison.Ordinal))
        {
            throw StatusException.Because(
                StatusCode.FailedPrecondition, "CLUSTER", "This node is of another cluster.");
        }

        _ = Number(hello.Incarnation, "incarnation");
        _ = Number(hello.Sn, "sn");
        return hello.VnetHeaderSize == (uint)headerSize
            ? hello
            : throw StatusException.Because(
                StatusCode.FailedPrecondition, "VNET_HEADER",
                $"Frames have a header of {headerSize} octets here, not of {hello.VnetHeaderSize}.");
    }

    /// <summary>Checks a batch as far as it can be told without the channel's state.</summary>
    /// <exception cref="StatusException">It is none.</exception>
    internal static void Batch(Batch batch, int incarnation, int headerSize)
    {
        if (Number(batch.Incarnation, "incarnation") > incarnation)
        {
            throw Invalid($"The batch is of incarnation {batch.Incarnation}, the stream of {incarnation}.");
        }

        _ = Number(batch.Sn, "sn");
        if (batch.Sequence == 0)
        {
            throw Invalid("A batch's sequence number is at least 1.");
        }

        if (batch.OriginIncarnation > batch.Incarnation)
        {
            throw Invalid($"The batch is of incarnation {batch.Incarnation} and left first in {batch.OriginIncarnation}.");
        }

        try
        {
            int frames = FrameBatch.Check(batch.Frames.Span);
            if (batch.FrameCount is 0 or > MaxFrames || frames != batch.FrameCount)
            {
                throw Invalid($"The batch has {frames} frames, and says it has {batch.FrameCount}.");
            }
        }
        catch (ChannelException e)
        {
            throw Invalid(e.Message, e);
        }

        foreach (ReadOnlySpan<byte> frame in FrameBatch.Of(batch.Frames.Span))
        {
            if (frame.Length < FrameBatch.MinFrame + headerSize)
            {
                throw Invalid($"A frame of {frame.Length} octets has no room for its headers.");
            }
        }
    }

    /// <summary>Checks a heartbeat.</summary>
    /// <exception cref="StatusException">It is none.</exception>
    internal static void Heartbeat(Heartbeat heartbeat, int incarnation)
    {
        if (Number(heartbeat.Incarnation, "incarnation") > incarnation)
        {
            throw Invalid($"The heartbeat is of incarnation {heartbeat.Incarnation}, the stream of {incarnation}.");
        }

        if (Number(heartbeat.DurableSn, "durable_sn") > Number(heartbeat.Sn, "sn"))
        {
            throw Invalid($"durable_sn is {heartbeat.DurableSn}, above sn, which is {heartbeat.Sn}.");
        }

        if (heartbeat.SettledIncarnation > heartbeat.Incarnation)
        {
            throw Invalid($"settled_incarnation is {heartbeat.SettledIncarnation}, above incarnation, which is {heartbeat.Incarnation}.");
        }
    }

    /// <summary>A number as .NET counts.</summary>
    /// <exception cref="StatusException">It is 2^63 or more.</exception>
    internal static long Number(ulong number, string field) => number <= long.MaxValue
        ? (long)number
        : throw Invalid($"{field} is {number}, above 2^63 - 1.");

    internal static StatusException Invalid(string message, Exception? inner = null) =>
        new(StatusCode.InvalidArgument, message, inner: inner);
}
