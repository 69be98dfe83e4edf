using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

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
        var history = new LogHistory<Place>();
        for (int i = 0; i < segments.Count; i++)
        {
            LogSegment segment = segments[i];
            long whole = segment.Scan((record, frames) =>
            {
                if (record.Kind == LogRecordKind.Batch)
                {
                    LoggedBatch batch = record.Batch;
                    history.Add(batch with { Frames = default }, new Place(segment, frames, batch.Frames.Length));
                }
                else if (record.Kind == LogRecordKind.RollBack)
                {
                    history.RollBack(record.Member, record.Line);
                }
            });
            if (i < segments.Count - 1 && whole != new FileInfo(segment.Path).Length)
            {
                throw Damaged(segment, whole);
            }
        }

        return Frames(history.Replay(line, member));
    }

    /// <summary>The incarnation that began last.</summary>
    /// <param name="segments">The log's files, oldest first.</param>
    /// <exception cref="IOException">The files cannot be read.</exception>
    internal static int Incarnation(IReadOnlyList<LogSegment> segments)
    {
        // Each file but the first says so at its beginning.
        int incarnation = 0;
        for (int i = segments.Count - 1; i >= 0 && incarnation == 0; i--)
        {
            _ = segments[i].Scan((record, _) => incarnation = record.Kind == LogRecordKind.Batch ? incarnation : record.Incarnation);
        }

        return incarnation;
    }

    /// <summary>Batches are missing.</summary>
    internal static InvalidDataException Damaged(LogSegment segment, long at) =>
        new($"The channel log is damaged at octet {at} of {segment.Path}; batches are missing.");

    private static IEnumerable<LoggedBatch> Frames(IEnumerable<LogHistory<Place>.Kept> entries)
    {
        SafeFileHandle? file = null;
        LogSegment? open = null;
        try
        {
            foreach ((LoggedBatch batch, Place place) in entries)
            {
                if (open != place.Segment)
                {
                    file?.Dispose();
                    file = File.OpenHandle(place.Segment.Path);
                    open = place.Segment;
                }

                byte[] frames = new byte[place.Length];
                if (LogSegment.Fill(file!, frames, place.At) < frames.Length)
                {
                    throw new IOException($"{place.Segment.Path} has become shorter.");
                }

                yield return batch with { Frames = frames };
            }
        }
        finally
        {
            file?.Dispose();
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Place(LogSegment Segment, long At, int Length);
}
