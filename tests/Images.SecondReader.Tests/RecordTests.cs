using Xunit;

namespace XenTwoLevelCkpt.Images.SecondReader.Tests;

public sealed class RecordTests
{
    [Fact]
    public void An_optional_unknown_record_is_skipped_and_counted()
    {
        ImageFile image = ImageFile.Read(ImageBuilder.Memory(2)
            .Record(0, [1, 2, 3], flags: 1)
            .Runs((0, 1, 1))
            .Record(77, new byte[8 << 20], flags: 1)
            .Build());
        Assert.Equal(2, image.SkippedRecords);
        Assert.Equal(3u, image.End.Records);
        Assert.Single(image.Runs);
    }

    [Fact]
    public void Record_headers()
    {
        Refuse.Image("unknown type 4 is optional", ImageBuilder.Memory(2).Record(4, []));
        Refuse.Image("at most 8 MiB", ImageBuilder.Memory(2).Record(77, new byte[(8 << 20) + 1], flags: 1));
        Refuse.Image("reserved record flags", ImageBuilder.Memory(2).Record(77, [], flags: 3));
        Refuse.Image("reserved record flags", ImageBuilder.Memory(2).Record(77, [], flags: 0x8001));
        Refuse.Image("not optional", ImageBuilder.Registers().Record(2, [], flags: 1));
        Refuse.Image("not optional", ImageBuilder.Memory(2).Record(65535, [], flags: 1));
        Refuse.Image("END", ImageBuilder.Memory(2).Runs((0, 1, 1)).With(i => i.WithoutEnd = true));
    }

    [Fact]
    public void Each_content_has_its_records()
    {
        Refuse.Image("RUNS comes in", ImageBuilder.Registers().Runs((0, 1, 1)));
        Refuse.Image("RUNS comes in", ImageBuilder.Layers().Runs((0, 1, 1)));
        Refuse.Image("BLOB comes in", ImageBuilder.Memory(1).Blob("a", []));
        Refuse.Image("BLOB comes in", ImageBuilder.Device(512).Blob("a", []));
        Refuse.Image("DISK comes in", ImageBuilder.Memory(1).Disk(4096, "xvda"));
        Refuse.Image("DISK comes in", ImageBuilder.Registers().Disk(0, "xvda"));
    }

    [Fact]
    public void Disk_is_the_first_record_and_the_only_one()
    {
        Refuse.Image("DISK is the first record", ImageBuilder.Device(512).WithoutRecords());
        Refuse.Image("DISK is the first record", ImageBuilder.Device(512).WithoutRecords().Runs((0, 1, 1)).Disk(512, "xvda"));
        Refuse.Image("DISK is the first record", ImageBuilder.Layers().WithoutRecords().Record(9, [], 1).Disk(0, "xvda"));
        Refuse.Image("DISK is the first record", ImageBuilder.Device(512).Disk(512, "xvda"));
    }

    [Fact]
    public void Disk_fields()
    {
        ImageFile image = ImageFile.Read(ImageBuilder.Device(1025, 512, "d-1_A").Build());
        Assert.Equal(new Disk("d-1_A", 1025), image.Disk);
        Assert.Equal(3u, image.Header.UnitCount);
        Refuse.Image("rounded up", ImageBuilder.Device(1025).With(i => i.UnitCount = 2));
        Refuse.Image("rounded up", ImageBuilder.Device(1024).With(i => i.UnitCount = 3));
        Refuse.Image("2^63 - 1", ImageBuilder.Device(0).WithoutRecords().Disk(1ul << 63, "xvda"));
        Refuse.Image("length of a directory", ImageBuilder.Layers().WithoutRecords().Disk(1, "xvda"));
        Refuse.Image("1 to 64", ImageBuilder.Layers(""));
        Refuse.Image("1 to 64", ImageBuilder.Layers(new string('x', 65)));
        ImageFile.Read(ImageBuilder.Layers(new string('x', 64)).Build());
        Refuse.Image("consists of", ImageBuilder.Layers("d\u00E4"));
        Refuse.Image("consists of", ImageBuilder.Layers("a.b"));
        Refuse.Image("control", ImageBuilder.Layers("a\tb"));
        Refuse.Image("DISK ends with its name", ImageBuilder.Layers().WithoutRecords().Record(3, [.. new byte[8], 1, .. new byte[7], 65, 66]));
        Refuse.Image("DISK ends with its name", ImageBuilder.Layers().WithoutRecords().Record(3, [.. new byte[8], 3, .. new byte[7], 65, 66]));
        Refuse.Image("reserved octets of DISK", ImageBuilder.Layers().WithoutRecords().Record(3, [.. new byte[8], 1, .. new byte[6], 1, 65]));
        Refuse.Image("fixed fields", ImageBuilder.Layers().WithoutRecords().Record(3, new byte[15]));
    }

    [Fact]
    public void The_last_block_is_zero_behind_the_device()
    {
        byte[] blocks = new byte[1024];
        blocks[512 + 99] = 1;
        Assert.Equal(2u, ImageFile.Read(ImageBuilder.Device(512 + 100).Runs(blocks, (0, 2, 0)).Build()).End.DataUnits);
        Refuse.Image("behind the end of the device", ImageBuilder.Device(512 + 99).Runs(blocks, (0, 2, 0)));
    }

    [Fact]
    public void End_fields()
    {
        ImageFile image = ImageFile.Read(ImageBuilder.Memory(3).With(i => i.Label = new string('\u00E4', 32)).Build());
        Assert.Equal(new string('\u00E4', 32), image.End.Label);
        for (int at = 0; at < 48; at += 8)
        {
            int changed = at;
            Refuse.Image("END has", ImageBuilder.Memory(3).Runs((0, 1, 1)).With(i => i.ChangeEnd = end => end[changed] ^= 1));
            Refuse.Image("END has", ImageBuilder.Memory(3).Runs((0, 1, 1)).With(i => i.ChangeEnd = end => end[changed + 7] ^= 1));
        }

        Refuse.Image("rolling", ImageBuilder.Memory(3).With(i => i.ChangeEnd = end => end[128] ^= 1));
        Refuse.Image("reserved octets of END", ImageBuilder.Memory(3).With(i => i.ChangeEnd = end => end[135] = 1));
        Refuse.Image("year 9999", ImageBuilder.Memory(3).With(i => i.Captured = 253402300800000000));
        Refuse.Image("control", ImageBuilder.Memory(3).With(i => i.ChangeEnd = end => end[65] = (byte)'x'));
        Refuse.Image("control", ImageBuilder.Memory(3).With(i => i.Label = "a\u0085"));
        Refuse.Image("UTF-8", ImageBuilder.Memory(3).With(i => i.ChangeEnd = end => end[64] = 0xC3));
        Refuse.Image("136 octets", ImageBuilder.Memory(3).Record(65535, new byte[135]).With(i => i.WithoutEnd = true));
    }

    [Fact]
    public void Records_in_another_order_are_found()
    {
        byte[] image = ImageBuilder.Memory(2).Runs((0, 1, 1)).Runs((1, 1, 1)).Build();
        const int Length = 16 + 24;
        byte[] swapped =
        [
            .. image[..160],
            .. image[(160 + Length)..(160 + (2 * Length))],
            .. image[160..(160 + Length)],
            .. image[(160 + (2 * Length))..],
        ];
        ImageFile.Read(image);
        Refuse.Image("rolling", swapped);
    }
}
