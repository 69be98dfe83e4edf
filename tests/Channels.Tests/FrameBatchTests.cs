using System.Buffers.Binary;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

public sealed class FrameBatchTests
{
    [Fact]
    public void Frames_come_out_as_they_went_in()
    {
        byte[] buffer = new byte[FrameBatch.MaxLength];
        var random = new Random(1);
        var frames = new List<byte[]>();
        int used = 0;
        while (true)
        {
            byte[] frame = new byte[random.Next(8) == 0 ? FrameBatch.MaxFrame : random.Next(FrameBatch.MinFrame, 1514)];
            random.NextBytes(frame);
            if (!FrameBatch.TryAppend(buffer, ref used, frame))
            {
                break;
            }

            frames.Add(frame);
        }

        ReadOnlySpan<byte> batch = buffer.AsSpan(0, used);
        Assert.True(frames.Count > 4);
        Assert.Equal(frames.Count, FrameBatch.Check(batch));
        int i = 0;
        foreach (ReadOnlySpan<byte> frame in FrameBatch.Of(batch))
        {
            Assert.True(frame.SequenceEqual(frames[i++]));
        }

        Assert.Equal(frames.Count, i);
    }

    [Fact]
    public void A_batch_that_is_cut_anywhere_is_refused()
    {
        byte[] buffer = new byte[512];
        int used = 0;
        Assert.True(FrameBatch.TryAppend(buffer, ref used, new byte[60]));
        int first = used;
        Assert.True(FrameBatch.TryAppend(buffer, ref used, new byte[100]));
        for (int length = 1; length < used; length++)
        {
            if (length != first)
            {
                Assert.Throws<ChannelException>(() => FrameBatch.Check(buffer.AsSpan(0, length)));
            }
        }

        Assert.Equal(0, FrameBatch.Check([]));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(FrameBatch.MinFrame - 1)]
    [InlineData(FrameBatch.MaxFrame + 1)]
    [InlineData(int.MaxValue)]
    [InlineData(-1)]
    public void A_frame_of_an_impossible_length_is_refused(int length)
    {
        byte[] batch = new byte[FrameBatch.MaxLength];
        BinaryPrimitives.WriteInt32BigEndian(batch, length);
        Assert.Throws<ChannelException>(() => FrameBatch.Check(batch));
        if (length is >= 0 and < 1 << 20)
        {
            int used = 0;
            Assert.Throws<ArgumentException>(() => FrameBatch.TryAppend(batch, ref used, new byte[length]));
        }
    }

    [Fact]
    public void A_batch_that_is_too_long_is_refused() =>
        Assert.Throws<ChannelException>(() => FrameBatch.Check(new byte[FrameBatch.MaxLength + 1]));

    [Fact]
    public void Garbage_is_refused_or_read_and_nothing_else()
    {
        var random = new Random(2);
        for (int round = 0; round < 20_000; round++)
        {
            byte[] batch = new byte[random.Next(200)];
            random.NextBytes(batch);
            for (int i = 0; i + 4 <= batch.Length && random.Next(4) != 0; i += 4 + random.Next(14, 60))
            {
                BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(i), random.Next(70));
            }

            int frames;
            try
            {
                frames = FrameBatch.Check(batch);
            }
            catch (ChannelException)
            {
                continue;
            }

            foreach (ReadOnlySpan<byte> frame in FrameBatch.Of(batch))
            {
                Assert.InRange(frame.Length, FrameBatch.MinFrame, FrameBatch.MaxFrame);
                frames--;
            }

            Assert.Equal(0, frames);
        }
    }

    [Fact]
    public void Reading_a_batch_allocates_nothing()
    {
        byte[] buffer = new byte[FrameBatch.MaxLength];
        int used = 0;
        while (FrameBatch.TryAppend(buffer, ref used, new byte[64]))
        {
        }

        long bytes = 0;
        for (int round = 0; round < 3; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            _ = FrameBatch.Check(buffer.AsSpan(0, used));
            foreach (ReadOnlySpan<byte> frame in FrameBatch.Of(buffer.AsSpan(0, used)))
            {
                bytes += frame.Length;
            }

            Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        }

        Assert.Equal(3 * 64 * (FrameBatch.MaxLength / 68), bytes);
    }
}
