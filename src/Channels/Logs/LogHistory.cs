using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Channels;

/// <summary>What the records of a channel log come to: the batches that stand, after all roll-backs.</summary>
/// <typeparam name="TFrames">Where the frames of a batch are.</typeparam>
internal sealed class LogHistory<TFrames>
{
    private readonly List<Kept> _kept = [];

    /// <summary>The next record is a batch.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="frames">Where its frames are.</param>
    internal void Add(in LoggedBatch batch, TFrames frames) => _kept.Add(new Kept(batch, frames));

    /// <summary>The next record is a roll-back. What it says of the batches before it holds for all that come later: they are as if
    /// delivered right after the member, or never.</summary>
    /// <param name="member">The checkpoint's ordinal.</param>
    /// <param name="line">k.</param>
    internal void RollBack(long member, long line)
    {
        int stay = 0;
        for (int i = 0; i < _kept.Count; i++)
        {
            Kept entry = _kept[i];
            if (entry.Batch.DeliveredAfter >= member)
            {
                if (entry.Batch.Index >= line)
                {
                    continue;
                }

                entry = entry with { Batch = entry.Batch with { DeliveredAfter = member } };
            }

            _kept[stay++] = entry;
        }

        _kept.RemoveRange(stay, _kept.Count - stay);
    }

    /// <summary>What is delivered again when the node goes back to a checkpoint, in the order in which it was delivered.</summary>
    /// <param name="line">k.</param>
    /// <param name="member">The checkpoint's ordinal.</param>
    internal IEnumerable<Kept> Replay(long line, long member) => _kept.Where(entry => CrossingMessages.MustReplay(
        new LogEntry(entry.Batch.Index, entry.Batch.DeliveredAfter), line, member));

    /// <summary>A batch that stands.</summary>
    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Kept(LoggedBatch Batch, TFrames Frames);
}
