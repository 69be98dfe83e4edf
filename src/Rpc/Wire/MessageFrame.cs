using System.Buffers;
using System.Buffers.Binary;

namespace XenTwoLevelCkpt.Rpc;

/// <summary>What the bytes at the beginning of a buffer are.</summary>
internal enum FrameState
{
    /// <summary>The beginning of a message; more bytes are needed.</summary>
    Incomplete,

    /// <summary>A whole message.</summary>
    Message,

    /// <summary>A message that is compressed; this library offers no compression.</summary>
    Compressed,

    /// <summary>A flag that does not exist.</summary>
    BadFlag,

    /// <summary>A message longer than the limit.</summary>
    TooLong,
}

/// <summary>A message on the wire: a flag (0, or 1 for compressed), the length as four octets, big-endian, and the message
/// (PROTOCOL-HTTP2, "Length-Prefixed-Message").</summary>
internal static class MessageFrame
{
    internal const int HeaderSize = 5;

    /// <summary>Looks at the first message of a buffer. Judges by the first five octets alone, so that nothing of a message
    /// is kept that will be refused.</summary>
    /// <param name="buffer">What has arrived.</param>
    /// <param name="maxLength">The longest message taken.</param>
    /// <param name="message">The message, where there is a whole one.</param>
    /// <param name="length">The length that the header tells; 0 where there is none yet.</param>
    internal static FrameState Read(
        in ReadOnlySequence<byte> buffer, int maxLength, out ReadOnlySequence<byte> message, out uint length)
    {
        message = default;
        length = 0;
        if (buffer.Length < HeaderSize)
        {
            // A wrong flag is known from the first octet on.
            return buffer.IsEmpty ? FrameState.Incomplete : Judge(buffer.FirstSpan.IsEmpty ? First(buffer) : buffer.FirstSpan[0]);
        }

        ReadOnlySpan<byte> header = buffer.FirstSpan;
        if (header.Length < HeaderSize)
        {
            Span<byte> copy = stackalloc byte[HeaderSize];
            buffer.Slice(0, HeaderSize).CopyTo(copy);
            length = BinaryPrimitives.ReadUInt32BigEndian(copy[1..]);
        }
        else
        {
            length = BinaryPrimitives.ReadUInt32BigEndian(header[1..]);
        }

        FrameState judgement = Judge(header.IsEmpty ? First(buffer) : header[0]);
        if (judgement != FrameState.Incomplete)
        {
            return judgement;
        }

        if (length > (uint)maxLength)
        {
            return FrameState.TooLong;
        }

        if (buffer.Length - HeaderSize < length)
        {
            return FrameState.Incomplete;
        }

        message = buffer.Slice(HeaderSize, length);
        return FrameState.Message;
    }

    /// <summary>Writes the five octets before a message.</summary>
    internal static void WriteHeader(IBufferWriter<byte> output, int length)
    {
        Span<byte> header = output.GetSpan(HeaderSize);
        header[0] = 0;
        BinaryPrimitives.WriteUInt32BigEndian(header[1..], (uint)length);
        output.Advance(HeaderSize);
    }

    private static FrameState Judge(byte flag) => flag switch
    {
        0 => FrameState.Incomplete,
        1 => FrameState.Compressed,
        _ => FrameState.BadFlag,
    };

    private static byte First(in ReadOnlySequence<byte> buffer)
    {
        Span<byte> first = stackalloc byte[1];
        buffer.Slice(0, 1).CopyTo(first);
        return first[0];
    }
}
