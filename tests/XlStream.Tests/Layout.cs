using System.Buffers.Binary;

namespace XenTwoLevelCkpt.XlStream.Tests;

/// <summary>Finds its way through a file without the code under test.</summary>
internal static class Layout
{
    /// <summary>Where the image header stands.</summary>
    internal static int LibxcStart(byte[] file) =>
        48 + (int)BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(44)) + 16 + 8;

    /// <summary>Where the records of the libxc stream start, and their types and lengths.</summary>
    internal static List<(int At, uint Type, int Length)> Records(byte[] file)
    {
        var records = new List<(int, uint, int)>();
        for (int at = LibxcStart(file) + 40; ;)
        {
            uint type = BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at));
            int length = (int)BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(at + 4));
            records.Add((at, type, length));
            if (type == 0)
            {
                return records;
            }

            at += 8 + ((length + 7) & ~7);
        }
    }

    /// <summary>The file with other libxc records between its headers and libxl's END.</summary>
    internal static byte[] WithRecords(byte[] file, IEnumerable<byte[]> records) =>
        [.. file[..(LibxcStart(file) + 40)], .. records.SelectMany(r => r), .. new byte[8]];

    /// <summary>The bytes of the file's libxc records, END among them.</summary>
    internal static List<byte[]> Split(byte[] file) =>
        [.. Records(file).Select(r => file[r.At..(r.At + 8 + ((r.Length + 7) & ~7))])];

    internal static byte[] Record(uint type, params byte[] body)
    {
        byte[] record = new byte[8 + ((body.Length + 7) & ~7)];
        BinaryPrimitives.WriteUInt32LittleEndian(record, type);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(4), (uint)body.Length);
        body.CopyTo(record, 8);
        return record;
    }
}
