using System.Buffers.Binary;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Compression;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Images.Tests;

public class ImageDamageTests
{
    public static TheoryData<ImageCompression> Compressions => new(ImageCompression.None, ImageCompression.Lz4);

    public static TheoryData<ImageContent> Contents => new(Enum.GetValues<ImageContent>());

    [Theory]
    [MemberData(nameof(Compressions))]
    public void Every_changed_byte_is_found(ImageCompression compression) => AssertFindsAll(Sample.Small(compression));

    [Theory]
    [MemberData(nameof(Contents))]
    public void Every_changed_byte_of_every_content_is_found(ImageContent content) =>
        AssertFindsAll(Sample.Small(content));

    [Fact]
    public void Every_truncation_is_found()
    {
        byte[] image = Sample.Small();
        for (int length = 0; length < image.Length; length++)
        {
            Assert.True(Fails(image[..length]), $"a cut after {length} bytes was not found");
        }

        Assert.True(Fails([.. image, 0]));
        Assert.False(Fails(image));
    }

    [Theory]
    [MemberData(nameof(Contents))]
    public void What_was_written_wrong_with_right_checksums_is_judged_alike_by_both_readers(ImageContent content)
    {
        byte[] image = Sample.Small(content);
        List<(int Start, int Length)> records = Records(image);
        var random = new Random(1);
        int rejected = 0;
        for (int i = 0; i < 20_000; i++)
        {
            byte[] wrong = [.. image];
            for (int changes = random.Next(1, 3); changes > 0; changes--)
            {
                (int start, int length) = records[random.Next(records.Count)];

                // Field boundaries are in the first bytes of a payload; high values find missing bounds. A changed
                // length only makes the following records unreadable.
                int at = random.Next(8) switch
                {
                    0 => 16 + random.Next(140),
                    1 => start + random.Next(4),
                    2 => start + 16 + random.Next(length - 16),
                    _ => start + 16 + random.Next(Math.Min(length - 16, 60)),
                };
                wrong[at] = (byte)(random.Next(3) switch { 0 => 0xff, 1 => random.Next(4), _ => random.Next(256) });
            }

            Reseal(wrong);
            rejected += Judge.Rejects(wrong) ? 1 : 0;
        }

        Assert.InRange(rejected, 1000, 20_000);
    }

    // Offsets into the payload of the first record, a RUNS record of the sample.
    [Theory]
    [InlineData(0, 0u, "a run table of 0 runs")]
    [InlineData(0, 65_537u, "a run table of 65537 runs")]
    [InlineData(4, 2u, "encoding 2")]
    [InlineData(4, 1u, "encoding 1")]
    [InlineData(8, 64u, "outside of the image's units")]
    [InlineData(12, 1u, "outside of the image's units")]
    [InlineData(16, 0u, "a run of 0 units")]
    [InlineData(16, 5u, "bytes are stored where")]
    [InlineData(16, 0x80000000u, "outside of the image's units")]
    [InlineData(20, 3u, "class 3")]
    public void A_field_out_of_its_bounds_is_named(int field, uint value, string problem)
    {
        byte[] image = Sample.Small(ImageCompression.None);
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(Records(image)[0].Start + 16 + field), value);
        Reseal(image);
        ImageCorruptException e = Assert.Throws<ImageCorruptException>(() => Read(image));
        Assert.Contains(problem, e.Problem, StringComparison.Ordinal);
    }

    // A reader that takes a block for data, or data for a block, is not told apart by lengths that differ.
    [Fact]
    public void An_lz4_block_as_long_as_its_data_is_neither_written_nor_read()
    {
        byte[] block = new byte[2 * 512];
        byte[] data = Enumerable.Range(4, 9)
            .Select(match => (byte[])[.. Sample.Noise(1, 20), .. Sample.Noise(1, 20)[..match], .. Sample.Noise(2, 492 - match)])
            .First(d => Lz4.Compress(d, block) == 512);
        byte[] image = Sample.Write(Sample.Header(1, ImageContent.BlockDevice, unitSize: 512), writer =>
        {
            writer.AddDisk(new DiskInfo("xvda", 512));
            writer.AddUnits(new PfnRun(0, 1), data);
        });
        int payload = Records(image)[1].Start + 16, stored = payload + 8 + 16;
        Assert.Equal(0, image[payload + 4]);
        Assert.Equal(data, image[stored..(stored + 512)]);

        image[payload + 4] = 1;
        block.AsSpan(0, 512).CopyTo(image.AsSpan(stored));
        Reseal(image);
        Assert.Contains(
            "encoding 1 of 512 bytes", Assert.Throws<ImageCorruptException>(() => Read(image)).Problem,
            StringComparison.Ordinal);
        Assert.True(Fails(image));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(8)]
    [InlineData(16)]
    [InlineData(24)]
    [InlineData(32)]
    [InlineData(40)]
    public void A_total_that_is_not_the_sum_is_found(int field)
    {
        byte[] image = Sample.Small();
        Reseal(image);
        Assert.False(Fails(image));
        image[Records(image)[^1].Start + 16 + field]++;
        Reseal(image);
        Assert.True(Fails(image));
    }

    [Fact]
    public void An_image_of_a_disk_without_its_disk_is_found_in_either_way_of_reading()
    {
        byte[] image = Sample.Small();
        image[92] = (byte)ImageContent.BlockDevice;
        Reseal(image);
        Assert.True(Fails(image));
        using var reader = new ImageReader(new MemoryStream(image), "sample");
        Assert.Throws<ImageCorruptException>(reader.ScanRecords);
    }

    [Fact]
    public void Two_records_in_each_others_place_are_found()
    {
        byte[] image = Sample.Small();
        List<(int Start, int Length)> records = Records(image);
        (int first, int a) = records[0];
        (int second, int b) = records[1];
        byte[] swapped =
        [
            .. image[..first], .. image.AsSpan(second, b), .. image.AsSpan(first, a), .. image[(second + b)..],
        ];
        Assert.True(Fails(swapped));
        using var reader = new ImageReader(new MemoryStream(swapped), "swapped");
        Assert.Throws<ImageCorruptException>(reader.ScanRecords);
    }

    [Fact]
    public void Records_that_may_be_skipped_are_and_others_are_not()
    {
        byte[] image = Sample.Small();
        (int start, int length) = Records(image)[1];
        byte[] unknown = [.. image];
        BinaryPrimitives.WriteUInt16LittleEndian(unknown.AsSpan(start), 77);
        Seal(unknown.AsSpan(start, length));
        Assert.Throws<ImageUnsupportedException>(() => Read(unknown));

        // Marked optional, only END's checksum and totals tell of the change.
        unknown[start + 2] = 1;
        Seal(unknown.AsSpan(start, length));
        ImageCorruptException e = Assert.Throws<ImageCorruptException>(() => Read(unknown));
        Assert.Contains("in another order than written", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_later_version_and_an_encrypted_image_are_named_as_such()
    {
        byte[] later = Sample.Small(), encrypted = Sample.Small();
        later[8] = 2;
        encrypted[98] = 1;
        BinaryPrimitives.WriteUInt32LittleEndian(later.AsSpan(156), Crc32C.Compute(later.AsSpan(0, 156)));
        BinaryPrimitives.WriteUInt32LittleEndian(encrypted.AsSpan(156), Crc32C.Compute(encrypted.AsSpan(0, 156)));
        Assert.Contains(
            "version 2", Assert.Throws<ImageUnsupportedException>(() => Read(later)).Message, StringComparison.Ordinal);
        Assert.Contains(
            "encrypted", Assert.Throws<ImageUnsupportedException>(() => Read(encrypted)).Message,
            StringComparison.Ordinal);
    }

    // Makes all checksums right again, from the document.
    private static void Reseal(byte[] image)
    {
        uint rolling = Crc32C.Compute(image.AsSpan(0, 156));
        BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(156), rolling);
        rolling = Crc32C.Compute(image.AsSpan(156, 4));
        foreach ((int start, int length) in Records(image))
        {
            if (start + length == image.Length)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(start + 16 + 128), rolling);
            }

            Seal(image.AsSpan(start, length));
            rolling = Crc32C.Append(rolling, image.AsSpan(start + 8, 4));
        }
    }

    private static void Seal(Span<byte> record)
    {
        uint checksum = Crc32C.Append(Crc32C.Compute(record[..8]), record[16..]);
        BinaryPrimitives.WriteUInt32LittleEndian(record[8..], checksum);
        BinaryPrimitives.WriteUInt32LittleEndian(record[12..], Crc32C.Compute(record[..12]));
    }

    private static List<(int Start, int Length)> Records(byte[] image)
    {
        var records = new List<(int, int)>();
        for (int at = ImageFormat.HeaderSize; at < image.Length;)
        {
            int length = ImageFormat.RecordHeaderSize + BitConverter.ToInt32(image, at + 4);
            records.Add((at, length));
            at += length;
        }

        return records;
    }

    private static void Read(byte[] image)
    {
        using var reader = new ImageReader(new MemoryStream(image), "sample");
        _ = reader.ReadToEnd(new MemoryModel(Sample.Unit));
    }

    private static bool Fails(byte[] image) => Judge.Rejects(image);

    private static void AssertFindsAll(byte[] image)
    {
        for (int at = 0; at < image.Length; at++)
        {
            foreach (byte mask in (ReadOnlySpan<byte>)[0x01, 0x20, 0x80, 0xff])
            {
                byte[] damaged = [.. image];
                damaged[at] ^= mask;
                Assert.True(Fails(damaged), $"byte {at} ^ {mask:x2} was not found");
            }
        }
    }
}
