using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.XlStream;

/// <summary>The head of a record.</summary>
/// <param name="Offset">Where it starts.</param>
/// <param name="Type">Its type.</param>
/// <param name="Length">Bytes of its body, without padding.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct RecordHead(long Offset, uint Type, int Length);

/// <summary>Reads a stream exactly: never a byte more than is asked for, so that a pipe can go on being used.</summary>
internal sealed class StreamInput(Stream stream)
{
    // What a body gets before any of it has arrived; then twice as much each time. A length that lies costs no more
    // memory than the stream is long.
    private const int FirstChunk = 64 << 10;

    private byte[] _body = [];

    /// <summary>Bytes read.</summary>
    internal long Offset { get; private set; }

    internal void Read(Span<byte> destination, string what)
    {
        int got = stream.ReadAtLeast(destination, destination.Length, throwOnEndOfStream: false);
        if (got < destination.Length)
        {
            throw new XlStreamException(
                Offset + got, $"{what} ({destination.Length} bytes)", $"the end of the stream after {got} of them");
        }

        Offset += got;
    }

    /// <summary>Reads a record's type and length, and checks the length against what a receiver takes.</summary>
    internal RecordHead ReadHead(string what)
    {
        long offset = Offset;
        Span<byte> head = stackalloc byte[LibxcFormat.RecordHeaderSize];
        Read(head, what);
        uint type = BinaryPrimitives.ReadUInt32LittleEndian(head);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(head[4..]);
        return length <= LibxcFormat.MaxRecordLength
            ? new RecordHead(offset, type, (int)length)
            : throw new XlStreamException(
                offset + 4, $"a record's length of at most {LibxcFormat.MaxRecordLength}", $"{length}");
    }

    /// <summary>Reads a body and its padding into a buffer that the next call uses again.</summary>
    internal ReadOnlySpan<byte> ReadBody(int length, string what)
    {
        ReadOnlySpan<byte> body = ReadUnpadded(length, what);
        ReadPadding(length);
        return body;
    }

    internal ReadOnlySpan<byte> ReadUnpadded(int length, string what)
    {
        int got = 0;
        while (got < length)
        {
            if (got == _body.Length)
            {
                Array.Resize(ref _body, Math.Min(length, Math.Max(FirstChunk, 2 * got)));
            }

            int part = Math.Min(length, _body.Length) - got;
            Read(_body.AsSpan(got, part), what);
            got += part;
        }

        return _body.AsSpan(0, length);
    }

    internal void Skip(int length, string what)
    {
        SkipUnpadded(length, what);
        ReadPadding(length);
    }

    internal void SkipUnpadded(int length, string what)
    {
        Span<byte> scratch = stackalloc byte[512];
        for (int left = length; left > 0;)
        {
            int part = Math.Min(left, scratch.Length);
            Read(scratch[..part], what);
            left -= part;
        }
    }

    /// <summary>Reads the zeros after a body.</summary>
    internal void ReadPadding(int length)
    {
        Span<byte> padding = stackalloc byte[-length & (LibxcFormat.Alignment - 1)];
        long offset = Offset;
        Read(padding, "padding");
        Demand(padding.IndexOfAnyExcept((byte)0) < 0, offset, "padding of zeros", "other bytes");
    }

    // Its texts are made before it is known whether they are needed: not for what is done for each page or record.
    internal static void Demand(bool right, long offset, string expected, string found)
    {
        if (!right)
        {
            throw new XlStreamException(offset, expected, found);
        }
    }

    internal static void Demand<T>(T value, T expected, long offset, string what)
        where T : unmanaged, IEquatable<T>, IFormattable
    {
        if (!value.Equals(expected))
        {
            throw new XlStreamException(offset, $"{what} of 0x{expected:x}", $"0x{value:x}");
        }
    }
}
