using System.Buffers.Binary;
using System.Text;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>What is known of a checkpoint only when it is taken.</summary>
/// <param name="Index">The checkpoint's index k.</param>
/// <param name="Captured">When the state was captured (the suspend window), in UTC; stored in microseconds.</param>
/// <param name="Label">A name for people; at most <see cref="ImageFormat.MaxLabelLength"/> bytes of UTF-8.</param>
public sealed record CheckpointClosing(ulong Index, DateTimeOffset Captured, string Label = "")
{
    /// <summary>Why a text cannot be a label, as a sentence; null where it can.</summary>
    /// <param name="label">The text.</param>
    public static string? LabelProblem(string label)
    {
        ArgumentNullException.ThrowIfNull(label);
        return label.Length == 0 || Names.IsName(label, ImageFormat.MaxLabelLength)
            ? null
            : $"A label has at most {ImageFormat.MaxLabelLength} octets of UTF-8 and no control characters; this one has "
                + $"{Encoding.UTF8.GetByteCount(label)} octets.";
    }
}

/// <summary>How much an image holds.</summary>
public sealed record ImageTotals
{
    /// <summary>Records before END.</summary>
    public long Records { get; init; }

    /// <summary>Units with data; a unit that was written twice counts twice.</summary>
    public long DataUnits { get; init; }

    /// <summary>Units of zeros.</summary>
    public long ZeroUnits { get; init; }

    /// <summary>Units that do not exist any more.</summary>
    public long UnpopulatedUnits { get; init; }

    /// <summary>Bytes of all blobs, before compression.</summary>
    public long BlobBytes { get; init; }

    /// <summary>Bytes of the file, from its header to its END record.</summary>
    public long FileLength { get; init; }
}

/// <summary>The payload of the END record, the last bytes of an image.</summary>
public sealed record ImageTrailer
{
    /// <summary>How much the image holds.</summary>
    public required ImageTotals Totals { get; init; }

    /// <summary>Which checkpoint it was.</summary>
    public required CheckpointClosing Closing { get; init; }

    /// <summary>CRC-32C over the checksums of the header and of all records before END, in their order.</summary>
    internal uint Rolling { get; init; }

    internal void WriteTo(Span<byte> payload)
    {
        Span<byte> p = payload[..ImageFormat.EndPayloadSize];
        p.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(p, (ulong)Totals.Records);
        BinaryPrimitives.WriteUInt64LittleEndian(p[8..], (ulong)Totals.DataUnits);
        BinaryPrimitives.WriteUInt64LittleEndian(p[16..], (ulong)Totals.ZeroUnits);
        BinaryPrimitives.WriteUInt64LittleEndian(p[24..], (ulong)Totals.UnpopulatedUnits);
        BinaryPrimitives.WriteUInt64LittleEndian(p[32..], (ulong)Totals.BlobBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(p[40..], (ulong)Totals.FileLength);
        BinaryPrimitives.WriteUInt64LittleEndian(p[48..], Closing.Index);
        BinaryPrimitives.WriteUInt64LittleEndian(p[56..], Timestamp.ToMicroseconds(Closing.Captured));
        _ = Encoding.UTF8.GetBytes(Closing.Label, p.Slice(64, ImageFormat.MaxLabelLength));
        BinaryPrimitives.WriteUInt32LittleEndian(p[128..], Rolling);
    }

    internal static ImageTrailer Decode(ReadOnlySpan<byte> p, string file, long offset)
    {
        if (p.Length != ImageFormat.EndPayloadSize)
        {
            throw new ImageCorruptException(file, offset, $"an END record of {p.Length} bytes is not possible");
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(p[132..]) != 0)
        {
            throw new ImageCorruptException(file, offset + 132, "a reserved field of the END record is not zero");
        }

        if (!Timestamp.TryRead(BinaryPrimitives.ReadUInt64LittleEndian(p[56..]), out DateTimeOffset captured))
        {
            throw new ImageCorruptException(file, offset + 56, "the time of the capture is not possible");
        }

        ReadOnlySpan<byte> label = p.Slice(64, ImageFormat.MaxLabelLength).TrimEnd((byte)0);
        if (!Names.TryDecode(label, out string text))
        {
            throw new ImageCorruptException(file, offset + 64, "the label is not UTF-8");
        }

        return new ImageTrailer
        {
            Totals = new ImageTotals
            {
                Records = (long)BinaryPrimitives.ReadUInt64LittleEndian(p),
                DataUnits = (long)BinaryPrimitives.ReadUInt64LittleEndian(p[8..]),
                ZeroUnits = (long)BinaryPrimitives.ReadUInt64LittleEndian(p[16..]),
                UnpopulatedUnits = (long)BinaryPrimitives.ReadUInt64LittleEndian(p[24..]),
                BlobBytes = (long)BinaryPrimitives.ReadUInt64LittleEndian(p[32..]),
                FileLength = (long)BinaryPrimitives.ReadUInt64LittleEndian(p[40..]),
            },
            Closing = new CheckpointClosing(BinaryPrimitives.ReadUInt64LittleEndian(p[48..]), captured, text),
            Rolling = BinaryPrimitives.ReadUInt32LittleEndian(p[128..]),
        };
    }
}
