using System.Diagnostics;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Images.Format;

namespace XenTwoLevelCkpt.Dom0Tests.Disks;

/// <summary>Volumes of the kernel's dm-thin, without a guest.</summary>
public sealed class ThinDiskTests
{
    private const long Length = 32 << 20;

    [Fact]
    public void An_increment_has_the_changed_units_and_a_chain_folds_to_the_sealed_state()
    {
        using var node = new ThinNode(Length);
        using ThinDisk disk = node.OpenDisk();
        node.Write(0, 4);
        node.Write(16 * 5, 16);
        node.Write(16 * 100, 16);
        node.Write(16 * 200, 16);
        byte[] first = node.Contents();

        // What is written after the seal is not in the image.
        Guid one = node.Checkpoint(disk, Guid.Empty, afterSeal: () => node.Write(16 * 300, 2));
        Assert.Equal(ImageKind.Full, node.Image(one).Kind);
        Assert.True(first.AsSpan().SequenceEqual(node.ReadBack(one)));

        // One unit inside a block of 16, one block that is new, one that is dropped, one rewritten with the same.
        node.Write((16 * 5) + 7);
        node.Write(16 * 400, 3);
        node.Discard(100);
        node.Write(16 * 200, first.AsSpan(16 * 200 * ThinNode.Unit, 16 * ThinNode.Unit).ToArray());
        byte[] second = node.Contents();
        Guid two = node.Checkpoint(disk, one, afterSeal: () => node.Write(0));
        (ImageKind kind, List<long> data, List<long> zero) = node.Image(two);
        Assert.Equal(ImageKind.Increment, kind);
        Assert.Equal([(16 * 5) + 7, 16 * 300, (16 * 300) + 1, 16 * 400, (16 * 400) + 1, (16 * 400) + 2], data);
        Assert.Equal(
            [
                .. Range(16 * 100, 16), .. Range((16 * 300) + 2, 14), .. Range((16 * 400) + 3, 13),
            ],
            zero);
        Assert.True(second.AsSpan().SequenceEqual(node.ReadBack(two)));
        Assert.True(first.AsSpan().SequenceEqual(node.ReadBack(one)));

        // Nothing but what was written after the second seal.
        Guid three = node.Checkpoint(disk, two);
        Assert.Equal([0], node.Image(three).Data);
        Assert.Empty(node.Image(three).Zero);
        Assert.True(node.Contents().AsSpan().SequenceEqual(node.ReadBack(three)));
    }

    [Fact]
    public void A_restore_gives_the_older_state_and_keeps_the_newer_one_aside()
    {
        using var node = new ThinNode(Length);
        using ThinDisk disk = node.OpenDisk();
        node.Write(0, 64);
        byte[] first = node.Contents();
        Guid one = node.Checkpoint(disk, Guid.Empty);
        node.Write(32, 64);
        Guid two = node.Checkpoint(disk, one);
        byte[] second = node.Contents();
        node.Write(128);
        byte[] third = node.Contents();

        node.Put(one);
        Assert.True(first.AsSpan().SequenceEqual(node.Contents()));
        KeptRecord kept = Assert.Single(node.Volume.Kept);
        Assert.Equal(one, kept.RestoredTo);

        // The next image builds upon nothing that was put aside.
        using ThinDisk restored = node.OpenDisk();
        Assert.False(restored.CanBuildUpon(two));
        node.Write(16);
        Guid four = node.Checkpoint(restored, two);
        Assert.Equal(ImageKind.Full, node.Image(four).Kind);
        Assert.True(node.Contents().AsSpan().SequenceEqual(node.ReadBack(four)));

        node.Put(two);
        Assert.True(second.AsSpan().SequenceEqual(node.Contents()));
        Assert.Equal(2, node.Volume.Kept.Count);
        node.Volumes.TakeBack(node.Volume.Name);
        node.Volumes.TakeBack(node.Volume.Name);
        Assert.True(third.AsSpan().SequenceEqual(node.Contents()));
        Assert.Empty(node.Volume.Kept);
    }

    [Fact]
    public void A_checkpoint_that_is_given_up_leaves_no_snapshot_and_loses_no_change()
    {
        using var node = new ThinNode(Length);
        using ThinDisk disk = node.OpenDisk();
        node.Write(0, 16);
        Guid one = node.Checkpoint(disk, Guid.Empty);
        node.Write(32);
        disk.Prepare(Guid.NewGuid());
        disk.Seal();
        disk.Abandon();
        disk.Prepare(Guid.NewGuid());
        disk.Abandon();
        node.Write(33);
        Guid two = node.Checkpoint(disk, one);
        Assert.Equal([32, 33], node.Image(two).Data);
        Assert.Equal(2, node.Volume.ThinIds.Count());
        Assert.Empty(node.Pool.Unwanted);
    }

    [Fact]
    public void What_a_process_that_ended_left_behind_is_cleared_up()
    {
        using var node = new ThinNode(Length);
        node.Write(0, 16);
        using (ThinDisk killed = node.OpenDisk())
        {
            // Ended between the seal and the commit, once suspended, with the snapshot's device and a reader's view left.
            killed.Prepare(Guid.NewGuid());
            killed.Seal();
            node.Mapper.Suspend(node.Volume.Device);
            node.Mapper.Message(node.Pool.Device, "reserve_metadata_snap");
        }

        Assert.Equal([$"Volume {node.Volume.Name} was left suspended and has been resumed."], node.Volumes.Recover());
        using ThinDisk disk = node.OpenDisk();
        Guid one = node.Checkpoint(disk, Guid.Empty);
        node.Write(20);
        Guid two = node.Checkpoint(disk, one);
        Assert.Equal([20], node.Image(two).Data);
        Assert.Empty(node.Pool.Unwanted);
        Assert.Equal(2, node.Volume.ThinIds.Count());
    }

    [Fact]
    public void A_volume_in_use_is_neither_restored_nor_removed()
    {
        using var node = new ThinNode(Length);
        using ThinDisk disk = node.OpenDisk();
        node.Write(0);
        Guid one = node.Checkpoint(disk, Guid.Empty);
        node.Write(1);
        byte[] contents = node.Contents();
        using (File.OpenHandle(node.Volume.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
        {
            Assert.Contains("in use", Assert.Throws<DiskException>(() => node.Put(one)).Message, StringComparison.Ordinal);
            _ = Assert.Throws<DiskException>(() => node.Volumes.Remove(node.Volume.Name));
        }

        Assert.True(contents.AsSpan().SequenceEqual(node.Contents()));
    }

    [Fact]
    public void A_file_is_adopted_and_stays()
    {
        using var node = new ThinNode(Length);
        string file = $"/var/tmp/{node.Volume.Name}.raw";
        byte[] bytes = new byte[3 << 20];
        Random.Shared.NextBytes(bytes.AsSpan(1 << 20, 1 << 20));
        File.WriteAllBytes(file, bytes);
        try
        {
            VolumeRecord adopted = node.Volumes.Adopt($"{node.Volume.Name}-a", null, file);
            Assert.True(bytes.AsSpan().SequenceEqual(File.ReadAllBytes(file)));
            byte[] copy = new byte[bytes.Length];
            using (FileStream device = File.OpenRead(adopted.Path))
            {
                device.ReadExactly(copy);
            }

            Assert.True(bytes.AsSpan().SequenceEqual(copy));
            Assert.Equal(("free", 1 << 20), node.Volumes.StateOf(adopted));
            node.Volumes.Remove(adopted.Name);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Sealing_allocates_nothing_and_its_time_is_that_of_the_kernel()
    {
        using var node = new ThinNode(Length);
        using ThinDisk disk = node.OpenDisk();
        node.Write(0, 64);
        var times = new List<double>(8);
        long least = long.MaxValue;
        for (int i = 0; i < 8; i++)
        {
            disk.Prepare(Guid.NewGuid());
            long before = GC.GetAllocatedBytesForCurrentThread();
            long start = Stopwatch.GetTimestamp();
            disk.Seal();
            times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            disk.Abandon();
            node.Write(i);
        }

        // The runtime itself may allocate when it replaces code that runs often; sealing would each time.
        Assert.Equal(0, least);
        TestContext.Current.TestOutputHelper!.WriteLine(
            $"seal, ms: {string.Join(' ', times.Select(t => t.ToString("F1")))}");
    }

    private static IEnumerable<long> Range(long first, int count) => Enumerable.Range(0, count).Select(i => first + i);
}
