using System.Buffers.Binary;
using System.Numerics;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>Constants of the binary form of traces (docs/trace-format.md).</summary>
internal static class TraceFormat
{
    internal const int Version = 1;

    /// <summary>Bytes of the header before the protocol's name.</summary>
    internal const int FixedHeader = 20;

    /// <summary>Bytes before a block's payload: its length and CRC32C.</summary>
    internal const int BlockHeader = 8;

    /// <summary>The most bytes of a block's payload: what a reader has to hold, and what one flipped bit can cost.
    /// </summary>
    internal const int MaxBlock = 1 << 16;

    /// <summary>The most bytes of a record: a byte and four numbers of at most ten bytes.</summary>
    internal const int MaxRecord = 41;

    internal const ushort RollbacksFlag = 1;
    internal const ushort ChannelLogsFlag = 2;

    internal static ReadOnlySpan<byte> Magic => "XTLTRACE"u8;

    /// <summary>CRC32C as in checkpoint images: initial value and final inversion all ones.</summary>
    internal static uint Crc32C(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        while (data.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[sizeof(ulong)..];
        }

        foreach (byte value in data)
        {
            crc = BitOperations.Crc32C(crc, value);
        }

        return ~crc;
    }

    internal static string Name(this LineRule rule) => rule switch
    {
        LineRule.FirstAtLeast => "first-at-least",
        LineRule.LastBeforeReaching => "last-before-reaching",
        _ => "propagation",
    };

    internal static string Name(this TraceEventKind kind) => kind switch
    {
        TraceEventKind.Basic => "basic",
        TraceEventKind.Forced => "forced",
        TraceEventKind.Other => "other",
        TraceEventKind.CheckpointFailed => "checkpoint-failed",
        TraceEventKind.Send => "send",
        TraceEventKind.Receive => "receive",
        TraceEventKind.ReceiveLogged => "receive-logged",
        TraceEventKind.Lost => "lost",
        TraceEventKind.IndexRaised => "index",
        TraceEventKind.Failure => "failure",
        TraceEventKind.Rollback => "rollback",
        _ => "adoption",
    };
}
