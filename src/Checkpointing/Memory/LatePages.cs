namespace XenTwoLevelCkpt.Checkpointing.Memory;

/// <summary>Pages that a guest wrote between the last look at its log and its suspension.</summary>
/// <remarks>Part of them is what suspending itself writes: a handful of pages that nothing else writes, so no cache has them,
/// and the same ones at nearly every checkpoint. To map one page in the window takes as long as to copy hundreds that are
/// mapped, so those of the last two checkpoints are mapped before.</remarks>
internal sealed class LatePages
{
    /// <summary>Pages kept of a checkpoint. What a busy guest writes late besides is not written late again, and mapping it
    /// for nothing makes the time between the last look and the suspension longer; of fewer, suspending might have no part.
    /// </summary>
    internal const int Capacity = 512;

    private List<long> _last = new(Capacity);
    private List<long> _before = new(Capacity);

    /// <summary>The pages of the last two checkpoints; some twice.</summary>
    internal IEnumerable<long> Pages => _before.Concat(_last);

    /// <summary>What is added from now on is of another checkpoint.</summary>
    internal void BeginCheckpoint()
    {
        (_before, _last) = (_last, _before);
        _last.Clear();
    }

    /// <summary>Adds a page, as long as there is room.</summary>
    internal void Add(long pfn)
    {
        if (_last.Count < Capacity)
        {
            _last.Add(pfn);
        }
    }
}
