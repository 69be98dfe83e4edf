using System.Buffers;
using Google.Protobuf;

namespace XenTwoLevelCkpt.Rpc.Tests;

/// <summary>Messages as bytes, and bytes in parts.</summary>
internal static class Frames
{
    internal static byte[] Of<T>(params T[] messages)
        where T : class, IMessage<T>, new()
    {
        var output = new ArrayBufferWriter<byte>();
        foreach (T message in messages)
        {
            byte[] octets = message.ToByteArray();
            output.Write((ReadOnlySpan<byte>)[
                0, (byte)(octets.Length >> 24), (byte)(octets.Length >> 16), (byte)(octets.Length >> 8), (byte)octets.Length]);
            output.Write(octets);
        }

        return output.WrittenSpan.ToArray();
    }

    internal static ReadOnlySequence<byte> Sequence(params IReadOnlyList<byte[]> parts)
    {
        if (parts.Count == 0)
        {
            return ReadOnlySequence<byte>.Empty;
        }

        var first = new Segment(parts[0], 0);
        Segment last = first;
        foreach (byte[] part in parts.Skip(1))
        {
            last = last.Append(part);
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        internal Segment(byte[] octets, long index)
        {
            Memory = octets;
            RunningIndex = index;
        }

        internal Segment Append(byte[] octets)
        {
            var next = new Segment(octets, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
