using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

public sealed class ChannelLogTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("log-test-");

    private string Last => Directory.GetFiles(_folder.FullName).Order(StringComparer.Ordinal).Last();

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void What_crosses_the_line_is_replayed_in_order_with_all_that_it_said()
    {
        using (var log = ChannelLog.Open(_folder.FullName))
        {
            Assert.False(log.WasUsed);
            _ = log.Begin(0);
            for (int i = 0; i < 10; i++)
            {
                _ = log.Append(Entry(i, index: i % 3, after: i / 2));
            }

            log.Commit();
            Assert.Equal(11, log.Committed);
            Assert.Equal([4, 6, 7, 9], Sequences(log.Replay(2, 2)));
            Assert.Equal(Enumerable.Range(0, 10).Select(i => (long)i), Sequences(log.Replay(3, 0)));
            LoggedBatch first = log.Replay(2, 2).First();
            Assert.Equal(
                ("peer4", 4, 1L, 1004L, 2L), (first.From, first.Origin, first.Index, first.ReceiverIndex, first.DeliveredAfter));
            Assert.Equal(Frames(4), first.Frames.ToArray());
        }

        using ChannelLog again = ChannelLog.Open(_folder.FullName);
        Assert.True(again.WasUsed);
        Assert.Equal([4, 6, 7, 9], Sequences(again.Replay(2, 2)));
    }

    [Fact]
    public void What_is_committed_is_there_when_everything_that_was_not_synced_is_lost()
    {
        var synced = new Dictionary<string, long>();
        using (var log = ChannelLog.Open(_folder.FullName, segmentLength: 2_000))
        {
            synced[Last] = new FileInfo(Last).Length;
            log.Sync = file =>
            {
                RandomAccess.FlushToDisk(file);
                synced[File.ResolveLinkTarget($"/proc/self/fd/{file.DangerousGetHandle()}", false)!.FullName] = RandomAccess.GetLength(file);
            };
            for (int i = 0; i < 60; i++)
            {
                _ = log.Append(Entry(i, index: 0, after: 0));
                log.Commit();
                Assert.All(log.Files, file => Assert.True(synced.GetValueOrDefault(file.Path) >= file.Length, file.Path));
            }

            Assert.True(synced.Count > 1);
        }
    }

    [Fact]
    public void A_batch_to_a_lost_node_has_its_name_and_a_log_without_such_is_gone_on_with_in_another_file()
    {
        using (var log = ChannelLog.Open(_folder.FullName))
        {
            _ = log.Append(Entry(1, 0, 0));
        }

        // As a program wrote it that knew of no lost nodes.
        string first = Directory.GetFiles(_folder.FullName).Single();
        byte[] octets = File.ReadAllBytes(first);
        ChannelLogFormat.Header(version: 1).CopyTo(octets, 0);
        File.WriteAllBytes(first, [.. octets, 1, 2, 3]);
        using (var log = ChannelLog.Open(_folder.FullName))
        {
            _ = log.Append(Entry(2, 0, 0) with { To = "zoë" });
            log.Commit();
            Assert.Equal([1, 2], Sequences(log.Replay(1, 0)));
        }

        Assert.Equal(2, Directory.GetFiles(_folder.FullName).Length);
        Assert.Equal(octets, File.ReadAllBytes(first));
        using ChannelLog again = ChannelLog.Open(_folder.FullName);
        Assert.Equal([null, "zoë"], again.Replay(1, 0).Select(entry => entry.To));
        LoggedBatch batch = again.Replay(1, 0).Last();
        Assert.Equal("peer2", batch.From);
        Assert.Equal(Frames(2), batch.Frames.ToArray());
    }

    [Fact]
    public void A_rollback_undoes_what_was_sent_behind_the_line_and_moves_the_rest_to_its_checkpoint()
    {
        using (var log = ChannelLog.Open(_folder.FullName))
        {
            _ = log.Append(Entry(1, index: 0, after: 1));
            _ = log.Append(Entry(2, index: 1, after: 5));
            _ = log.Append(Entry(3, index: 2, after: 6));
            Assert.Equal([2], Sequences(log.Replay(2, 4)));
            _ = log.RollBack(1, member: 4, line: 2);

            // The number 3 is given anew in the new future.
            _ = log.Append(Entry(3, index: 1, after: 5));
        }

        using ChannelLog again = ChannelLog.Open(_folder.FullName);
        Assert.Equal(1, again.Incarnation);
        List<LoggedBatch> all = [.. again.Replay(3, 0)];
        Assert.Equal([(1, 1), (2, 4), (3, 5)], all.Select(entry => (entry.Sequence, entry.DeliveredAfter)));

        // Batch 2 was delivered again before checkpoint 5, and does not cross it.
        Assert.Equal([3], Sequences(again.Replay(3, 5)));
    }

    [Fact]
    public void A_record_that_a_crash_cut_is_taken_away_wherever_it_was_cut()
    {
        long whole;
        using (var log = ChannelLog.Open(_folder.FullName))
        {
            _ = log.Append(Entry(1, 0, 0));
            log.Commit();
            whole = log.Length;
            _ = log.Append(Entry(2, 0, 0));
        }

        byte[] octets = File.ReadAllBytes(Last);
        for (int length = octets.Length - 1; length >= 0; length -= 7)
        {
            File.WriteAllBytes(Last, octets.AsSpan(0, length));
            using (var cut = ChannelLog.Open(_folder.FullName))
            {
                Assert.Equal(length >= whole ? [1] : Array.Empty<long>(), Sequences(cut.Replay(1, 0)));
                _ = cut.Append(Entry(3, 0, 0));
            }

            using var again = ChannelLog.Open(_folder.FullName);
            Assert.Equal(length >= whole ? [1, 3] : [3], Sequences(again.Replay(1, 0)));
        }
    }

    [Fact]
    public void A_flipped_bit_is_never_read_as_a_batch()
    {
        using (var log = ChannelLog.Open(_folder.FullName))
        {
            _ = log.Append(Entry(1, 0, 0));
            _ = log.Append(Entry(2, 0, 0));
        }

        byte[] octets = File.ReadAllBytes(Last);
        for (int at = 0; at < octets.Length; at++)
        {
            byte[] damaged = [.. octets];
            damaged[at] ^= 0x10;
            File.WriteAllBytes(Last, damaged);
            using ChannelLog log = ChannelLog.Open(_folder.FullName);
            Assert.True(Sequences(log.Replay(1, 0)) is [] or [1]);
        }
    }

    [Fact]
    public void Files_go_when_all_that_they_hold_is_garbage_and_never_before()
    {
        using var log = ChannelLog.Open(_folder.FullName, segmentLength: 1);
        _ = log.Begin(7);
        for (int i = 0; i < 10; i++)
        {
            _ = log.Append(Entry(i, index: 0, after: i));
            log.Commit();
        }

        log.Collect(member: 0);
        Assert.Equal(10, Sequences(log.Replay(1, 0)).Length);
        log.Collect(member: 6);
        Assert.Equal([6, 7, 8, 9], Sequences(log.Replay(1, 0)));
        Assert.Equal(4, Directory.GetFiles(_folder.FullName).Length);
        log.Dispose();
        using ChannelLog again = ChannelLog.Open(_folder.FullName);
        Assert.Equal(7, again.Incarnation);
        Assert.True(again.WasUsed);
    }

    [Fact]
    public void A_missing_or_damaged_file_between_others_is_an_error()
    {
        using (var log = ChannelLog.Open(_folder.FullName, segmentLength: 1))
        {
            for (int i = 0; i < 4; i++)
            {
                _ = log.Append(Entry(i, 0, 0));
                log.Commit();
            }
        }

        string second = Directory.GetFiles(_folder.FullName).Order(StringComparer.Ordinal).ElementAt(1);
        byte[] octets = File.ReadAllBytes(second);
        File.WriteAllBytes(second, octets.AsSpan(0, octets.Length - 1));
        Assert.Throws<InvalidDataException>(() => ChannelLog.Open(_folder.FullName));
        File.Delete(second);
        Assert.Throws<InvalidDataException>(() => ChannelLog.Open(_folder.FullName));
    }

    [Fact]
    public void Nothing_is_committed_any_more_after_a_sync_that_failed()
    {
        using var log = ChannelLog.Open(_folder.FullName);
        _ = log.Append(Entry(1, 0, 0));
        log.Commit();
        log.Syncing = () => throw new IOException("no space");
        _ = log.Append(Entry(2, 0, 0));
        Assert.Throws<IOException>(log.Commit);
        log.Syncing = null;
        _ = log.Append(Entry(3, 0, 0));
        Assert.Throws<IOException>(log.Commit);
        Assert.Equal(1, log.Committed);
        Assert.NotNull(log.Failure);
    }

    private static byte[] Frames(int i) => [.. Enumerable.Repeat((byte)i, 20 + i)];

    private static LoggedBatch Entry(int i, long index, long after) =>
        new($"peer{i}", i, i, index, 1000 + i, after, Frames(i));

    private static long[] Sequences(IEnumerable<LoggedBatch> entries) => [.. entries.Select(entry => entry.Sequence)];
}
