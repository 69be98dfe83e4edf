namespace XenTwoLevelCkpt.Simulation.Timed;

/// <summary>Storage whose bandwidth all writers share alike, each up to its link's.</summary>
/// <remarks>All writers progress at the same rate, so what counts is how much one that was there from the beginning would
/// have written: a writer is done when that has grown by its size.</remarks>
/// <param name="total">Bytes a second of all writers.</param>
/// <param name="each">Bytes a second of one.</param>
internal sealed class SharedStorage(double total, double each)
{
    // Equal progress: in the order of beginning.
    private readonly PriorityQueue<int, (double Progress, int Write)> _pending = new();
    private readonly List<bool> _active = [];
    private double _progress;
    private long _now;

    /// <summary>True where writing takes no time at all.</summary>
    internal bool Instant { get; } = double.IsInfinity(total) && double.IsInfinity(each);

    /// <summary>Writers now.</summary>
    internal int Writers { get; private set; }

    /// <summary>The most that there have been.</summary>
    internal int MostWriters { get; private set; }

    /// <summary>Begins to write.</summary>
    /// <param name="now">Nanoseconds.</param>
    /// <param name="bytes">How much.</param>
    /// <returns>The number of the write.</returns>
    internal int Begin(long now, double bytes)
    {
        Advance(now);
        int write = _active.Count;
        _active.Add(true);
        _pending.Enqueue(write, (_progress + bytes, write));
        MostWriters = Math.Max(MostWriters, ++Writers);
        return write;
    }

    /// <summary>Gives a write up.</summary>
    internal void Cancel(long now, int write)
    {
        if (_active[write])
        {
            Advance(now);
            _active[write] = false;
            Writers--;
        }
    }

    /// <summary>When the next write is done if none begins or is given up before; null where there is none.</summary>
    internal long? NextEnd()
    {
        DropCancelled();
        return _pending.TryPeek(out _, out var next)
            ? _now + (long)Math.Ceiling(Math.Max(0, next.Progress - _progress) / Rate * 1e9)
            : null;
    }

    /// <summary>Ends the write that is due, at the time that <see cref="NextEnd"/> gave.</summary>
    internal int End(long now)
    {
        DropCancelled();
        Advance(now);
        _ = _pending.TryDequeue(out int write, out var end);
        _progress = Math.Max(_progress, end.Progress);
        _active[write] = false;
        Writers--;
        return write;
    }

    private double Rate => Math.Min(each, total / Writers);

    private void Advance(long now)
    {
        if (Writers > 0)
        {
            _progress += (now - _now) / 1e9 * Rate;
        }

        _now = now;
    }

    private void DropCancelled()
    {
        while (_pending.TryPeek(out int write, out _) && !_active[write])
        {
            _ = _pending.Dequeue();
        }
    }
}
