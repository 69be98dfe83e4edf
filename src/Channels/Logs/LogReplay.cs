using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Channels;

/// <summary>Reads what a recovery delivers again from a channel log.</summary>
internal static class LogReplay
{
    /// <summary>The batches that are delivered again, in the order in which they were delivered.</summary>
    /// <param name="segments">The log's files, oldest first.</param>
    /// <param name="line">k.</param>
    /// <param name="member">The ordinal of the checkpoint that the node goes back to.</param>
    /// <exception cref="InvalidDataException">A file other than the last is damaged or missing.</exception>
    /// <exception cref="IOException">The files cannot be read.</exception>
    internal static IEnumerable<LoggedBatch> Batches(IReadOnlyList<LogSegment> segments, long line, long member)
    {
        List<Kept> kept = [];
        for (int i = 0; i < segments.Count; i++)
        {
            LogSegment segment = segments[i];
            long whole = segment.Scan((record, frames) =>
            {
                if (record.Kind == LogRecordKind.Batch)
                {
                    LoggedBatch batch = record.Batch;
                    kept.Add(new Kept(batch with { Frames = default }, segment, frames, batch.Frames.Length));
                }
                else if (record.Kind == LogRecordKind.RollBack)
                {
                    Undo(kept, record);
                }
            });
            if (i < segments.Count - 1 && whole != new FileInfo(segment.Path).Length)
            {
                throw Damaged(segment, whole);
            }
        }

        return Frames(kept.Where(entry => CrossingMessages.MustReplay(
            new LogEntry(entry.Batch.Index, entry.Batch.DeliveredAfter), line, member)));
    }

    /// <summary>Batches are missing.</summary>
    internal static InvalidDataException Damaged(LogSegment segment, long at) =>
        new($"The channel log is damaged at octet {at} of {segment.Path}; batches are missing.");

    // What a rollback said of entries before it holds for all that come later: they are as if delivered right after the
    // member, or never.
    private static void Undo(List<Kept> kept, in LogRecord rollback)
    {
        int stay = 0;
        for (int i = 0; i < kept.Count; i++)
        {
            Kept entry = kept[i];
            if (entry.Batch.DeliveredAfter >= rollback.Member)
            {
                if (entry.Batch.Index >= rollback.Line)
                {
                    continue;
                }

                entry = entry with { Batch = entry.Batch with { DeliveredAfter = rollback.Member } };
            }

            kept[stay++] = entry;
        }

        kept.RemoveRange(stay, kept.Count - stay);
    }

    private static IEnumerable<LoggedBatch> Frames(IEnumerable<Kept> entries)
    {
        SafeFileHandle? file = null;
        LogSegment? open = null;
        try
        {
            foreach (Kept entry in entries)
            {
                if (open != entry.Segment)
                {
                    file?.Dispose();
                    file = File.OpenHandle(entry.Segment.Path);
                    open = entry.Segment;
                }

                byte[] frames = new byte[entry.Length];
                if (LogSegment.Fill(file!, frames, entry.At) < frames.Length)
                {
                    throw new IOException($"{entry.Segment.Path} has become shorter.");
                }

                yield return entry.Batch with { Frames = frames };
            }
        }
        finally
        {
            file?.Dispose();
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Kept(LoggedBatch Batch, LogSegment Segment, long At, int Length);
}
