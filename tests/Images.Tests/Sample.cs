using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Images.Tests;

/// <summary>Makes images to test with.</summary>
internal static class Sample
{
    internal const int Unit = 4096;

    internal static readonly Guid Domain = Guid.Parse("0c8de1f2-6c3a-4f4e-9a35-5d2f1b7a9e01");
    internal static readonly DateTimeOffset Time = new(2026, 3, 4, 5, 6, 7, TimeSpan.Zero);

    internal static ImageHeader Header(
        long units, ImageContent content = ImageContent.Memory, Guid parent = default, int unitSize = Unit,
        ImageCompression compression = ImageCompression.Lz4, Guid? domain = null) => new()
        {
            DomainUuid = domain ?? Domain,
            CheckpointId = Guid.NewGuid(),
            ParentId = parent,
            Epoch = 7,
            Created = Time,
            Content = content,
            Kind = parent == Guid.Empty ? ImageKind.Full : ImageKind.Increment,
            Compression = compression,
            UnitSize = content is ImageContent.Memory or ImageContent.BlockDevice ? unitSize : 0,
            UnitCount = content is ImageContent.Memory or ImageContent.BlockDevice ? units : 0,
        };

    internal static CheckpointClosing Closing(ulong index = 3) => new(index, Time.AddSeconds(1), "before the upgrade");

    internal static byte[] Write(
        ImageHeader header, Action<ImageWriter> fill, int threads = 0, int batchSize = 8 * Unit,
        CheckpointClosing? closing = null)
    {
        var stream = new MemoryStream();
        using var writer = new ImageWriter(
            stream, header, "sample", new ImageWriterOptions { CompressionThreads = threads, BatchSize = batchSize });
        fill(writer);
        _ = writer.Complete(closing ?? Closing());
        byte[] image = stream.ToArray();
        Judge.Image(image);
        return image;
    }

    /// <summary>A small image with every kind of run, some repeated units, and several records.</summary>
    internal static byte[] Small(ImageCompression compression = ImageCompression.Lz4) => Write(
        Header(64, compression: compression),
        writer =>
        {
            writer.AddUnits(new PfnRun(3, 1), Noise(1, Unit));
            writer.AddUnits(new PfnRun(10, 3), Compressible(2, 3 * Unit));
            writer.AddZero(new PfnRun(20, 30));
            writer.AddUnpopulated(new PfnRun(11, 1));
            writer.Flush();
            writer.AddUnits(new PfnRun(3, 1), Compressible(9, Unit));
        });

    /// <summary>A small image of a content; full, as all contents can be.</summary>
    internal static byte[] Small(ImageContent content) => content == ImageContent.Memory ? Small() : Write(
        Header(4, content, unitSize: 512),
        writer =>
        {
            switch (content)
            {
                case ImageContent.BlockDevice:
                    writer.AddDisk(new DiskInfo("xvda", (4 * 512) - 100));
                    writer.AddUnits(new PfnRun(0, 2), Compressible(1, 1024));
                    writer.AddZero(new PfnRun(2, 2));
                    break;
                case ImageContent.Directory:
                    writer.AddDisk(new DiskInfo("shared", 0));
                    writer.AddLayer(new MemoryStream(Compressible(1, 1000)));
                    break;
                default:
                    writer.AddBlob("hvm-context", Compressible(1, 300));
                    writer.AddBlob("tsc-info", Noise(1, 24));
                    break;
            }
        });

    internal static byte[] Noise(int seed, int length)
    {
        byte[] data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }

    internal static byte[] Compressible(int seed, int length)
    {
        byte[] data = new byte[length];
        for (int i = 0; i < length; i++)
        {
            data[i] = (byte)(1 + seed + (i / 64 % 3));
        }

        return data;
    }
}
