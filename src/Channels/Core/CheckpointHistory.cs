using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Channels;

/// <summary>The node's checkpoints in the history that stands, from the oldest one that a recovery may go back to.</summary>
internal sealed class CheckpointHistory
{
    private readonly List<TakenCheckpoint> _taken = [new(0, 0)];

    /// <summary>The ordinal of the last one; 0 is the initial one.</summary>
    internal long Ordinal { get; private set; }

    /// <summary>The index that the last one was saved with.</summary>
    internal long LastIndex => _taken[^1].Label;

    /// <summary>The greatest index whose checkpoint is durable.</summary>
    internal long Durable { get; set; }

    /// <summary>The checkpoints as they are once the node's index is known to have reached one before the next.</summary>
    internal IEnumerable<TakenCheckpoint> Reaching(long index) => [.. _taken[..^1], _taken[^1] with { Reach = index }];

    /// <summary>A checkpoint is saved.</summary>
    /// <param name="label">Its label.</param>
    /// <param name="reached">The index that the node had reached before it.</param>
    internal void Add(long label, long reached)
    {
        Ordinal++;
        _taken[^1] = _taken[^1] with { Reach = reached };
        _taken.Add(new TakenCheckpoint(label, label));
    }

    /// <summary>The node is at a checkpoint of the past, or goes on from one; null: the initial one.</summary>
    internal void Restore(ChannelState? state)
    {
        Ordinal = state?.Ordinal ?? 0;
        _taken.Clear();
        _taken.AddRange(state?.Checkpoints ?? [new TakenCheckpoint(0, 0)]);
    }

    /// <summary>What was durable behind the last checkpoint is undone.</summary>
    internal void UndoDurable() => Durable = Math.Min(Durable, _taken[^1].Label);

    /// <summary>Forgets checkpoints that no recovery goes back to any more.</summary>
    /// <param name="durable">The durable indexes of all other nodes.</param>
    /// <param name="oldestKept">The index of the oldest checkpoint in the store: an operator may go back to it.</param>
    /// <returns>The ordinal of the member of the safe line; null where nothing is to be forgotten.</returns>
    internal long? Forget(IEnumerable<long> durable, long oldestKept)
    {
        long safe = Math.Min(Garbage.SafeLine(durable.Append(Durable)), oldestKept);
        StoredCheckpoint[] stored = [.. _taken.Select(taken => new StoredCheckpoint(taken.Label, taken.Reach))];
        int place = Garbage.Checkpoints(stored, safe);
        if (place == 0)
        {
            return null;
        }

        _taken.RemoveRange(0, place);
        return Ordinal - (_taken.Count - 1);
    }
}
