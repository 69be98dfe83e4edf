using System.Buffers.Binary;

namespace XenTwoLevelCkpt.Images.Format;

/// <summary>Which disk an image belongs to; the first record of images of disks.</summary>
/// <param name="Name">The disk's name inside the VM, such as <c>xvda</c>: 1 to 64 of <c>A-Z a-z 0-9 _ -</c>.</param>
/// <param name="Length">Bytes of a block device; 0 for a directory.</param>
/// <remarks>A block device's last block may be cut by its length; the rest of that block is zeros in the image.
/// </remarks>
public sealed record DiskInfo(string Name, long Length)
{
    internal byte[] Encode()
    {
        byte[] name = Names.Encode(Name, Names.MaxDiskName);
        byte[] payload = new byte[ImageFormat.DiskPrefixSize + name.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(payload, (ulong)Length);
        BinaryPrimitives.WriteUInt16LittleEndian(payload.AsSpan(8), (ushort)name.Length);
        name.CopyTo(payload, ImageFormat.DiskPrefixSize);
        return payload;
    }

    internal static DiskInfo Decode(ReadOnlySpan<byte> p, string file, long offset)
    {
        if (p.Length <= ImageFormat.DiskPrefixSize
            || BinaryPrimitives.ReadUInt16LittleEndian(p[8..]) != p.Length - ImageFormat.DiskPrefixSize)
        {
            throw new ImageCorruptException(file, offset, "the lengths of a DISK record contradict each other");
        }

        if (p[10..16].ContainsAnyExcept((byte)0))
        {
            throw new ImageCorruptException(file, offset + 10, "a reserved field of a DISK record is not zero");
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(p);
        ReadOnlySpan<byte> bytes = p[ImageFormat.DiskPrefixSize..];
        return Names.TryDecode(bytes, out string name) && Names.IsDisk(name) && length <= long.MaxValue
            ? new DiskInfo(name, (long)length)
            : throw new ImageCorruptException(file, offset, "the name or length of a disk is not possible");
    }

    /// <summary>What contradicts an image's header, or null.</summary>
    internal string? Problem(ImageHeader header)
    {
        if (!Names.IsDisk(Name))
        {
            return $"a disk is not called '{Name}'";
        }

        if (header.Content == ImageContent.Directory)
        {
            return Length == 0 ? null : "a directory has no length";
        }

        // Ceiling division without overflow.
        long units = (Length / header.UnitSize) + (Length % header.UnitSize == 0 ? 0 : 1);
        return units == header.UnitCount
            ? null
            : $"a disk of {Length} bytes has {units} blocks, the header says {header.UnitCount}";
    }

    /// <summary>True where data of the last blocks is zero behind the end of the device, as it has to be.</summary>
    internal bool HasZeroTail(ReadOnlySpan<byte> data, int unitSize)
    {
        int inside = (int)(Length % unitSize);
        return inside == 0 || !data[^(unitSize - inside)..].ContainsAnyExcept((byte)0);
    }
}
