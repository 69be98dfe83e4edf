using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public class ImageRoundTripTests
{
    [Fact]
    public void What_was_written_comes_back_and_the_last_copy_wins() => Prop.ForAll(
        Arb.From(
            from units in Gen.Choose(1, 300)
            from steps in Step.Steps(units)
            from threads in Gen.Elements(0, 1, 3)
            from compression in Gen.Elements(ImageCompression.None, ImageCompression.Lz4)
            from unitSize in Gen.Elements(512, 4096, 8192)
            select (units, steps, threads, compression, unitSize)),
        c =>
        {
            var model = new MemoryModel(c.unitSize);
            ImageContent content = ContentWith(c.unitSize);
            ImageHeader header = Sample.Header(c.units, content, unitSize: c.unitSize, compression: c.compression);
            byte[] image = Sample.Write(
                header,
                w =>
                {
                    Begin(w);
                    Array.ForEach([.. c.steps.Where(s => s.IsFor(content))], s => s.Apply(w, model));
                },
                c.threads);

            using var reader = new ImageReader(new MemoryStream(image), "sample");
            var read = new MemoryModel(c.unitSize);
            ImageTrailer trailer = reader.ReadToEnd(read);
            model.AssertSame(read);
            Assert.Equal(header, reader.Header);
            Assert.Equal(Sample.Closing(), trailer.Closing);
            Assert.Equal(image.Length, trailer.Totals.FileLength);
            Assert.Equal(trailer, ImageReader.ReadTrailer(new MemoryStream(image), "sample"));
        }).Check(Properties.Quiet);

    [Fact]
    public void Read_backwards_the_first_copy_seen_is_the_last_written() => Prop.ForAll(
        Arb.From(Step.Steps(100)),
        steps =>
        {
            var model = new MemoryModel(Sample.Unit);
            byte[] image = Sample.Write(Sample.Header(100), w => Array.ForEach(steps, s => s.Apply(w, model)));
            using var reader = new ImageReader(new MemoryStream(image), "sample");
            var first = new FirstWins();
            foreach (long record in reader.ScanRecords().Reverse())
            {
                reader.ReadRecordAt(record, first);
            }

            model.AssertSame(first.Model);
        }).Check(Properties.Quiet);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData(4097)]
    [InlineData(100_000)]
    public void Blobs_come_back(int length)
    {
        byte[] a = Sample.Noise(length, length), b = Sample.Compressible(5, length);
        byte[] image = Sample.Write(Sample.Header(0, ImageContent.Registers), w =>
        {
            w.AddBlob("hvm-context", a);
            w.AddBlob("xenstore/größe", new MemoryStream(b));
        });
        var blobs = new Blobs();
        using var reader = new ImageReader(new MemoryStream(image), "sample");
        Assert.Equal(2 * length, reader.ReadToEnd(blobs).Totals.BlobBytes);
        Assert.Equal(["hvm-context", "xenstore/größe"], blobs.Content.Keys);
        Assert.Equal(a, blobs.Content["hvm-context"].ToArray());
        Assert.Equal(b, blobs.Content["xenstore/größe"].ToArray());
    }

    [Fact]
    public void A_disk_comes_back()
    {
        byte[] image = Sample.Write(Sample.Header(3, ImageContent.BlockDevice, unitSize: 512), w =>
        {
            w.AddDisk(new DiskInfo("xvda", 1100));
            w.AddUnits(new PfnRun(2, 1), [.. Sample.Noise(1, 76), .. new byte[436]]);
        });
        var blobs = new Blobs();
        using var reader = new ImageReader(new MemoryStream(image), "sample");
        _ = reader.ReadToEnd(blobs);
        Assert.Equal(new DiskInfo("xvda", 1100), blobs.Disk);
    }

    [Fact]
    public void Zero_pages_take_no_room_and_one_run()
    {
        byte[] image = Sample.Write(Sample.Header(10_000), w => w.AddUnits(new PfnRun(5, 9000), new byte[9000 * Sample.Unit]));
        var model = new MemoryModel(Sample.Unit);
        using var reader = new ImageReader(new MemoryStream(image), "sample");
        ImageTotals totals = reader.ReadToEnd(model).Totals;
        Assert.Equal((9000, 0, 1), (totals.ZeroUnits, totals.DataUnits, model.Calls));
        Assert.InRange(image.Length, 1, 400);
    }

    [Theory]
    [InlineData(512)]
    [InlineData(4096)]
    public void One_byte_anywhere_makes_a_page_no_zero_page(int unitSize)
    {
        for (int at = 0; at < unitSize; at++)
        {
            byte[] page = new byte[unitSize];
            page[at] = 1;
            byte[] image = Sample.Write(
                Sample.Header(1, ContentWith(unitSize), unitSize: unitSize),
                w =>
                {
                    Begin(w);
                    w.AddUnits(new PfnRun(0, 1), page);
                });
            var model = new MemoryModel(unitSize);
            using var reader = new ImageReader(new MemoryStream(image), "sample");
            _ = reader.ReadToEnd(model);
            Assert.Equal(page, model.Units[0]);
        }
    }

    [Fact]
    public void Data_that_does_not_shrink_is_stored_as_it_is()
    {
        byte[] image = Sample.Write(Sample.Header(8), w => w.AddUnits(new PfnRun(0, 8), Sample.Noise(1, 8 * Sample.Unit)));
        Assert.Equal(160 + 16 + 8 + 16 + (8 * Sample.Unit) + 152, image.Length);
    }

    [Fact]
    public void What_makes_no_image_is_rejected()
    {
        Assert.Throws<ArgumentException>(() => Write(Sample.Header(8) with { UnitSize = 1000 }, _ => { }));
        Assert.Throws<ArgumentException>(() => Write(Sample.Header(8), w => w.AddZero(new PfnRun(7, 2))));
        Assert.Throws<ArgumentException>(() => Write(Sample.Header(8), w => w.AddUnits(new PfnRun(7, 1), new byte[9])));
        Assert.Throws<InvalidOperationException>(() => Write(Sample.Header(8), w => w.AddBlob("a", [1])));
        Assert.Throws<InvalidOperationException>(
            () => Write(Sample.Header(8, ImageContent.BlockDevice), w => w.AddZero(new PfnRun(0, 1))));
        Assert.Throws<ArgumentException>(
            () => Write(Sample.Header(8, ImageContent.BlockDevice), w => w.AddDisk(new DiskInfo("xvda", 1))));
        Assert.Throws<ArgumentException>(() => WriteBlocks(w => w.AddDisk(new DiskInfo("xv.da", 100))));
        Assert.Throws<InvalidOperationException>(() => WriteBlocks(w =>
        {
            w.AddDisk(new DiskInfo("xvda", 100));
            w.AddUnpopulated(new PfnRun(0, 1));
        }));
        Assert.Throws<ArgumentException>(() => WriteBlocks(w =>
        {
            w.AddDisk(new DiskInfo("xvda", 100));
            w.AddUnits(new PfnRun(0, 1), Sample.Noise(1, Sample.Unit));
        }));

        static void WriteBlocks(Action<ImageWriter> fill) => Write(Sample.Header(1, ImageContent.BlockDevice), fill);

        static void Write(ImageHeader header, Action<ImageWriter> fill) => Sample.Write(header, fill);
    }

    [Fact]
    public void A_full_device_is_named_and_every_further_call_fails()
    {
        using FileStream full = File.OpenWrite("/dev/full");
        IOException e = Assert.ThrowsAny<IOException>(() =>
        {
            using var unbuffered = new FileStream(full.SafeFileHandle, FileAccess.Write, 0);
            using var writer = new ImageWriter(unbuffered, Sample.Header(1000), "/dev/full");
        });
        Assert.Contains("/dev/full", e.Message, StringComparison.Ordinal);
        Assert.Contains("No space left", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void A_device_that_fills_up_fails_the_caller_and_stays_failed(int threads)
    {
        using var writer = new ImageWriter(
            new FullAfter(160_000), Sample.Header(100_000), "image",
            new ImageWriterOptions { BatchSize = 8 * Sample.Unit, CompressionThreads = threads });
        ImageWriteException first = Assert.Throws<ImageWriteException>(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                writer.AddUnits(new PfnRun(i * 8, 8), Sample.Noise(i, 8 * Sample.Unit));
            }
        });
        Assert.InRange(first.Offset, 1, 160_000);
        Assert.Throws<ImageWriteException>(writer.Flush);
        Assert.Throws<ImageWriteException>(() => writer.Complete(Sample.Closing()));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void A_device_that_failed_once_leaves_no_image_without_what_it_lost(int threads)
    {
        using var writer = new ImageWriter(
            new FailOnce(), Sample.Header(1000), "image",
            new ImageWriterOptions { BatchSize = 8 * Sample.Unit, CompressionThreads = threads });
        Assert.Throws<ImageWriteException>(() =>
        {
            writer.AddUnits(new PfnRun(0, 8), Sample.Noise(1, 8 * Sample.Unit));
            writer.Flush();
        });
        Assert.Throws<ImageWriteException>(() => writer.Complete(Sample.Closing()));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void However_many_threads_there_are_records_are_written_one_by_one_in_the_order_of_their_units(int threads)
    {
        ImageHeader header = Sample.Header(100_000);
        byte[] one = Image(0, new MemoryStream());
        for (int round = 0; round < 10; round++)
        {
            Assert.Equal(one, Image(threads, new OneAtATime(round)));
        }

        byte[] Image(int count, MemoryStream stream)
        {
            using var writer = new ImageWriter(
                stream, header, "image", new ImageWriterOptions { BatchSize = 8 * Sample.Unit, CompressionThreads = count });
            for (int i = 0; i < 200; i++)
            {
                // Batches that take a long and a short time.
                int length = 8 * Sample.Unit;
                writer.AddUnits(new PfnRun(i * 8, 8), i % 3 == 0 ? Sample.Noise(i, length) : Sample.Compressible(i, length));
                if (i % 50 == 49)
                {
                    writer.Flush();
                }
            }

            _ = writer.Complete(Sample.Closing());
            return stream.ToArray();
        }
    }

    // Pages have one size, blocks many.
    private static ImageContent ContentWith(int unitSize) =>
        unitSize == ImageFormat.PageSize ? ImageContent.Memory : ImageContent.BlockDevice;

    private static void Begin(ImageWriter writer)
    {
        if (writer.Header.Content == ImageContent.BlockDevice)
        {
            writer.AddDisk(new DiskInfo("xvda", writer.Header.UnitCount * writer.Header.UnitSize));
        }
    }

    // Fails where two threads write at once, and takes its time now and then, so that the writer falls behind.
    private sealed class OneAtATime(int seed) : MemoryStream
    {
        private readonly Random _random = new(seed);
        private int _inside;

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (Interlocked.Increment(ref _inside) != 1)
            {
                throw new InvalidOperationException("Two threads write at once.");
            }

            if (_random.Next(4) == 0)
            {
                Thread.Sleep(_random.Next(2));
            }

            base.Write(buffer);
            _ = Interlocked.Decrement(ref _inside);
        }
    }

    private sealed class FailOnce : MemoryStream
    {
        private int _writes;

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            // The first write is that of the header.
            if (++_writes == 2)
            {
                throw new IOException("Input/output error");
            }

            base.Write(buffer);
        }
    }

    private sealed class FullAfter(int length) : MemoryStream
    {
        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (Length + buffer.Length > length)
            {
                throw new IOException("No space left on device");
            }

            base.Write(buffer);
        }
    }

    private sealed class FirstWins : ImageVisitor
    {
        private readonly HashSet<long> _seen = [];

        internal MemoryModel Model { get; } = new(Sample.Unit);

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            for (int i = 0; i < run.Count; i++)
            {
                if (_seen.Add(run.First + i))
                {
                    Model.OnData(new PfnRun(run.First + i, 1), data.Slice(i * Sample.Unit, Sample.Unit));
                }
            }
        }

        public override void OnZero(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                if (_seen.Add(pfn))
                {
                    Model.OnZero(new PfnRun(pfn, 1));
                }
            }
        }

        public override void OnUnpopulated(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                _ = _seen.Add(pfn);
            }
        }
    }

    private sealed class Blobs : ImageVisitor
    {
        internal Dictionary<string, MemoryStream> Content { get; } = [];

        internal DiskInfo? Disk { get; private set; }

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last)
        {
            if (!Content.TryGetValue(name, out MemoryStream? content))
            {
                Content[name] = content = new MemoryStream();
            }

            content.Write(part);
        }

        public override void OnDisk(DiskInfo disk) => Disk = disk;
    }
}
