using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests.Disks;

/// <summary>Reading volumes into images; files stand for devices.</summary>
public sealed class VolumeDataTests : IDisposable
{
    private const int Unit = VolumeData.UnitSize;

    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-volume-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(Unit)]
    [InlineData((1 << 20) + Unit)]
    [InlineData((1 << 20) - 512)]
    [InlineData((3 << 20) + 512)]
    public void All_of_a_device_is_read_also_where_it_ends_inside_a_unit(int length)
    {
        byte[] device = Bytes(length, 1);
        device.AsSpan(0, Math.Min(length, Unit)).Clear();
        byte[] found = Read(length, (0, long.MaxValue), device, null, out List<long> data, out List<long> zero);
        Assert.Equal(device, found[..length]);
        Assert.False(found.AsSpan(length).ContainsAnyExcept((byte)0));
        Assert.Equal([0L], zero);
        Assert.Equal(Units(length) - 1, data.Count);
    }

    [Fact]
    public void Of_a_range_only_units_that_differ_are_added()
    {
        const int Length = 4 << 20;
        byte[] before = Bytes(Length, 1), now = [.. before];
        int[] changed = [16, 255, 256, 257, 300, 511];
        foreach (int unit in changed)
        {
            now[(unit * Unit) + (unit % Unit)] ^= 1;
        }

        // Outside of the range, and so not looked at.
        now[0] ^= 1;
        now[^1] ^= 1;
        now.AsSpan(301 * Unit, Unit).Clear();
        _ = Read(Length, (16 * Unit, 512 * Unit), now, before, out List<long> data, out List<long> zero);
        Assert.Equal(changed.Select(u => (long)u), data);
        Assert.Equal([301L], zero);
    }

    [Fact]
    public void A_range_past_the_device_is_nothing()
    {
        byte[] device = Bytes(2 * Unit, 1);
        _ = Read(device.Length, (2 * Unit, 64 * Unit), device, null, out List<long> data, out List<long> zero);
        Assert.Empty(data);
        Assert.Empty(zero);
    }

    [Fact]
    public void Zeros_reach_to_the_last_unit_of_the_device()
    {
        using var stream = new MemoryStream();
        const int Length = (5 * Unit) + 512;
        ImageTrailer trailer = Write(stream, Length, w => VolumeData.AddZeros(w, Length, (2 * Unit, 64 * Unit)));
        Assert.Equal(4, trailer.Totals.ZeroUnits);
        Assert.Equal(0, trailer.Totals.DataUnits);
    }

    [Fact]
    public void A_device_that_is_shorter_than_it_should_be_is_an_error()
    {
        byte[] device = Bytes(2 * Unit, 1);
        IOException e = Assert.Throws<IOException>(
            () => Read(4 * Unit, (0, 4 * Unit), device, null, out _, out _));
        Assert.Contains($"{2 * Unit}", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_copy_leaves_out_blocks_of_zeros()
    {
        byte[] from = new byte[(1 << 20) + 4096];
        Bytes(100, 1).CopyTo(from, 70000);
        from[^1] = 9;
        using SafeFileHandle source = Open("from", from), target = Open("to", Bytes(from.Length, 2));
        VolumeData.Copy(source, target, from.Length);
        byte[] copy = File.ReadAllBytes(Path.Combine(_folder, "to"));
        Assert.True(from.AsSpan(65536, 65536).SequenceEqual(copy.AsSpan(65536, 65536)));
        Assert.True(from.AsSpan(1 << 20).SequenceEqual(copy.AsSpan(1 << 20)));

        // Block 0 is zeros: what the target had is left. A new volume has zeros.
        Assert.True(copy.AsSpan(0, 65536).ContainsAnyExcept((byte)0));
    }

    private static byte[] Bytes(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static long Units(long length) => (length + Unit - 1) / Unit;

    private static ImageTrailer Write(MemoryStream stream, long length, Action<ImageWriter> add)
    {
        var header = new ImageHeader
        {
            DomainUuid = Guid.NewGuid(),
            CheckpointId = Guid.NewGuid(),
            Epoch = 1,
            Created = DateTimeOffset.UtcNow,
            Content = ImageContent.BlockDevice,
            Kind = ImageKind.Full,
            UnitSize = Unit,
            UnitCount = Units(length),
        };
        using var writer = new ImageWriter(stream, header, "image");
        writer.AddDisk(new DiskInfo("xvda", length));
        add(writer);
        return writer.Complete(new CheckpointClosing(1, DateTimeOffset.UtcNow)).Trailer;
    }

    private SafeFileHandle Open(string name, byte[] bytes)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, bytes);
        return VolumeData.OpenToWrite(path);
    }

    private byte[] Read(
        long length, (long Start, long End) range, byte[] now, byte[]? before, out List<long> data, out List<long> zero)
    {
        using SafeFileHandle device = Open("now", now);
        using SafeFileHandle? older = before is null ? null : Open("before", before);
        using var stream = new MemoryStream();
        _ = Write(stream, length, w => VolumeData.Add(w, device, length, range, older));
        stream.Position = 0;
        using var reader = new ImageReader(stream, "image");
        var collector = new Collector(new byte[Units(length) * Unit]);
        _ = reader.ReadToEnd(collector);
        (data, zero) = (collector.Data, collector.Zero);
        return collector.Bytes;
    }

    private sealed class Collector(byte[] bytes) : ImageVisitor
    {
        internal byte[] Bytes => bytes;

        internal List<long> Data { get; } = [];

        internal List<long> Zero { get; } = [];

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            data.CopyTo(bytes.AsSpan((int)run.First * Unit));
            Data.AddRange(Enumerable.Range(0, run.Count).Select(i => run.First + i));
        }

        public override void OnZero(PfnRun run) =>
            Zero.AddRange(Enumerable.Range(0, run.Count).Select(i => run.First + i));
    }
}
