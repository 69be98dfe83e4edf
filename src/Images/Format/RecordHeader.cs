using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>The header of a record.</summary>
/// <param name="Type">The record's type.</param>
/// <param name="Flags">Bit 0: a reader that does not know the type may skip the record.</param>
/// <param name="Length">Bytes of the payload.</param>
/// <param name="Checksum">CRC-32C over type, flags, length and payload.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct RecordHeader(RecordType Type, ushort Flags, int Length, uint Checksum)
{
    internal const ushort Optional = 1;

    internal bool IsOptional => (Flags & Optional) != 0;

    /// <summary>Writes header and checksums of the record that <paramref name="record"/> holds from its header's
    /// place to the end of its payload.</summary>
    /// <returns>The record's checksum.</returns>
    internal static uint Seal(Span<byte> record, RecordType type)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(record, (ushort)type);
        BinaryPrimitives.WriteUInt16LittleEndian(record[2..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], (uint)(record.Length - ImageFormat.RecordHeaderSize));
        uint checksum = Crc32C.Append(Crc32C.Compute(record[..8]), record[ImageFormat.RecordHeaderSize..]);
        BinaryPrimitives.WriteUInt32LittleEndian(record[8..], checksum);
        BinaryPrimitives.WriteUInt32LittleEndian(record[12..], Crc32C.Compute(record[..12]));
        return checksum;
    }

    internal static RecordHeader Decode(ReadOnlySpan<byte> h, string file, long offset)
    {
        // The header has a checksum of its own so that a damaged length is known before anything is read by it.
        if (BinaryPrimitives.ReadUInt32LittleEndian(h[12..]) != Crc32C.Compute(h[..12]))
        {
            throw new ImageCorruptException(file, offset, "the header of a record does not match its checksum");
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(h[4..]);
        if (length > ImageFormat.MaxPayload)
        {
            throw new ImageCorruptException(file, offset + 4, $"a record of {length} bytes is not possible");
        }

        var header = new RecordHeader(
            (RecordType)BinaryPrimitives.ReadUInt16LittleEndian(h),
            BinaryPrimitives.ReadUInt16LittleEndian(h[2..]),
            (int)length,
            BinaryPrimitives.ReadUInt32LittleEndian(h[8..]));
        return (header.Flags & ~Optional) != 0
            ? throw new ImageCorruptException(file, offset + 2, "a reserved flag of a record is set")
            : header;
    }

    internal bool Matches(ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload) =>
        Crc32C.Append(Crc32C.Compute(header[..8]), payload) == Checksum;
}
