using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Checkpointing.Disks.Thin;

/// <summary>Reads and writes what block devices hold, in units of images.</summary>
internal static class VolumeData
{
    /// <summary>Bytes of a unit, whatever the pool's block size: what a guest's file system writes. The same along a
    /// chain of images, so it is no setting.</summary>
    internal const int UnitSize = 4096;

    /// <summary>Read at once. More makes no difference to a disk, and this much of Dom0's memory is nothing.</summary>
    private const int ChunkSize = 1 << 20;

    /// <summary>An image has at most 2^32 units.</summary>
    internal const long MaxLength = (1L << 32) * UnitSize;

    internal static SafeFileHandle OpenToRead(string path) =>
        // FileShare.ReadWrite: .NET would lock the file otherwise, which udev takes for somebody who rewrites it.
        File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);

    internal static SafeFileHandle OpenToWrite(string path) =>
        File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);

    /// <summary>Adds a range of a device to an image. Units of zeros are added as such.</summary>
    /// <param name="writer">The image.</param>
    /// <param name="device">The device.</param>
    /// <param name="length">Its length in bytes; the rest of the last unit is zero.</param>
    /// <param name="range">Bytes [Start, End); Start is a multiple of the unit, End too or past the device's end.</param>
    /// <param name="older">What the image builds upon: units that are the same there are left out. Null adds all.</param>
    internal static void Add(
        ImageWriter writer, SafeFileHandle device, long length, (long Start, long End) range, SafeFileHandle? older)
    {
        byte[] chunk = new byte[ChunkSize], before = older is null ? [] : new byte[ChunkSize];
        long end = Math.Min(range.End, length);
        for (long at = range.Start; at < end; at += ChunkSize)
        {
            int bytes = (int)Math.Min(ChunkSize, end - at);
            int units = (bytes + UnitSize - 1) / UnitSize;
            Read(device, chunk.AsSpan(0, bytes), at);
            chunk.AsSpan(bytes, (units * UnitSize) - bytes).Clear();
            if (older is null)
            {
                writer.AddUnits(new PfnRun(at / UnitSize, units), chunk.AsSpan(0, units * UnitSize));
                continue;
            }

            Read(older, before.AsSpan(0, bytes), at);
            before.AsSpan(bytes, (units * UnitSize) - bytes).Clear();
            AddDifferent(writer, at / UnitSize, units, chunk, before);
        }
    }

    /// <summary>Says of a range that it is zeros.</summary>
    internal static void AddZeros(ImageWriter writer, long length, (long Start, long End) range)
    {
        long unit = range.Start / UnitSize;
        long end = (Math.Min(range.End, length) + UnitSize - 1) / UnitSize;
        while (unit < end)
        {
            int count = (int)Math.Min(end - unit, int.MaxValue);
            writer.AddZero(new PfnRun(unit, count));
            unit += count;
        }
    }

    /// <summary>Copies a device or file; blocks of zeros are not written.</summary>
    internal static void Copy(SafeFileHandle from, SafeFileHandle to, long length)
    {
        byte[] chunk = new byte[ChunkSize];
        for (long at = 0; at < length; at += ChunkSize)
        {
            Span<byte> bytes = chunk.AsSpan(0, (int)Math.Min(ChunkSize, length - at));
            Read(from, bytes, at);

            // 64 KiB is the least that a pool's block can be.
            for (int done = 0; done < bytes.Length; done += 65536)
            {
                Span<byte> part = bytes[done..Math.Min(done + 65536, bytes.Length)];
                if (part.ContainsAnyExcept((byte)0))
                {
                    RandomAccess.Write(to, part, at + done);
                }
            }
        }

        RandomAccess.FlushToDisk(to);
    }

    /// <summary>Reads all of a range.</summary>
    /// <exception cref="IOException">The device ends before.</exception>
    internal static void Read(SafeFileHandle device, Span<byte> bytes, long offset)
    {
        while (!bytes.IsEmpty)
        {
            int read = RandomAccess.Read(device, bytes, offset);
            if (read == 0)
            {
                throw new IOException($"A disk ends at byte {offset}, where it should go on.");
            }

            bytes = bytes[read..];
            offset += read;
        }
    }

    private static void AddDifferent(ImageWriter writer, long first, int units, byte[] now, byte[] before)
    {
        for (int i = 0; i < units;)
        {
            int start = i;
            while (i < units && !Unit(now, i).SequenceEqual(Unit(before, i)))
            {
                i++;
            }

            if (i > start)
            {
                writer.AddUnits(
                    new PfnRun(first + start, i - start), now.AsSpan(start * UnitSize, (i - start) * UnitSize));
            }
            else
            {
                i++;
            }
        }
    }

    private static ReadOnlySpan<byte> Unit(byte[] bytes, int unit) => bytes.AsSpan(unit * UnitSize, UnitSize);
}
