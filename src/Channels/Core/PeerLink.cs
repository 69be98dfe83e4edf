using System.Buffers;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Channels;

/// <summary>The channels to and from one peer, over any number of streams.</summary>
/// <remarks>Under the messenger's lock, but for <see cref="Open"/>, which is the frame router's.</remarks>
internal sealed class PeerLink
{
    private readonly Queue<PendingEntry> _pending = new();
    private readonly long _windowBytes;
    private long? _heardAt;

    internal PeerLink(string name, int number, long windowBytes, long waitingLimit)
    {
        Name = name;
        Number = number;
        _windowBytes = windowBytes;
        Open = new OpenBatch(waitingLimit);
        Out = new SendWindow(windowBytes) { Released = Release };
    }

    internal string Name { get; }

    /// <summary>The node that has the domains of this peer, which is lost; null where it lives. Nothing new is sent to it, and its
    /// streams are that node's.</summary>
    internal string? Host { get; set; }

    /// <summary>The incarnation that ended the sending on these channels, as one of their ends was lost;
    /// <see cref="int.MaxValue"/> where both live.</summary>
    internal int EndedIn { get; set; } = int.MaxValue;

    /// <summary>True while batches have to wait: older channels between the same two nodes still have some, and a guest's frames keep
    /// their order.</summary>
    internal bool Waits { get; set; }

    /// <summary>The lost node whose end of the channels this is; null for this node's own.</summary>
    internal HostedNode? End { get; init; }

    /// <summary>True where another object has taken its place.</summary>
    internal bool IsRetired { get; set; }

    /// <summary>Its place among all names of the cluster.</summary>
    internal int Number { get; }

    /// <summary>Frames that have not left.</summary>
    internal OpenBatch Open { get; }

    internal SendWindow Out { get; private set; }

    /// <summary>True while the state of a checkpoint holds batches of the window.</summary>
    internal bool IsNoted { get; set; }

    internal ReceiveWindow In { get; private set; } = new();

    /// <summary>The stream that is open, or null.</summary>
    internal LinkSession? Session { get; set; }

    internal long Index { get; set; }

    internal long DurableIndex { get; set; }

    internal int Incarnation { get; set; }

    /// <summary>What the peer last told of lost nodes that are settled (<see cref="INodeMessages.SettledIncarnation"/>).</summary>
    internal int SettledIncarnation { get; set; }

    internal DateTimeOffset? LastHeard { get; private set; }

    /// <summary>Since when frames wait for room (<see cref="TimeProvider.GetTimestamp"/>), or null.</summary>
    internal long? FullSince { get; set; }

    internal string? Problem { get; set; }

    /// <summary>What can be acknowledged: what was delivered, up to the first batch that is not in the log yet.</summary>
    internal long Acknowledgeable => _pending.TryPeek(out PendingEntry entry) ? entry.Sequence - 1 : In.Settled;

    /// <summary>Something has come.</summary>
    internal void Heard(TimeProvider clock)
    {
        LastHeard = clock.GetUtcNow();
        _heardAt = clock.GetTimestamp();
    }

    /// <summary>True where something has come lately, by the clock that nobody sets.</summary>
    internal bool IsHeard(TimeProvider clock, TimeSpan patience) => _heardAt is long at && clock.GetElapsedTime(at) < patience;

    /// <summary>True where frames have waited for room for long.</summary>
    internal bool IsStuck(TimeProvider clock, TimeSpan patience) => FullSince is long since && clock.GetElapsedTime(since) > patience;

    /// <summary>A batch was delivered, and goes to the log.</summary>
    internal void AwaitLog(long sequence, long record) => _pending.Enqueue(new PendingEntry(sequence, record));

    /// <summary>The log is on disk up to a record.</summary>
    internal void LogCommitted(long record)
    {
        while (_pending.TryPeek(out PendingEntry entry) && entry.Record <= record)
        {
            _ = _pending.Dequeue();
        }
    }

    /// <summary>The node goes on in a new incarnation: what came and was not delivered comes again.</summary>
    internal void Survive() => In = new ReceiveWindow(In.Settled);

    /// <summary>The channels become what they were, at a checkpoint or at a stop; null: at the beginning.</summary>
    internal void Restore(PeerState? state)
    {
        Out = state is null ? new(_windowBytes) : new(_windowBytes, state.Acknowledged, state.Kept);
        Out.Released = Release;
        In = new ReceiveWindow(state?.Delivered ?? 0);
        _pending.Clear();
        Open.Clear();
    }

    /// <summary>The open batch leaves.</summary>
    internal SentBatch Seal(long index, int incarnation, bool beyond) =>
        Out.Add(index, Open.Take(), incarnation, beyond, pooled: true);

    internal PeerState Note()
    {
        IsNoted = true;
        return new(Name, Out.Acknowledged, [.. Out.Kept], In.Settled);
    }

    // An array that somebody may still read is left to the collector: the state of a checkpoint, or a stream to a peer that
    // acknowledges what it cannot have yet.
    private void Release(SentBatch batch)
    {
        if (batch.Pooled && !IsNoted && (Session is null || batch.Sequence <= Session.Written)
            && MemoryMarshal.TryGetArray(batch.Frames, out ArraySegment<byte> frames))
        {
            ArrayPool<byte>.Shared.Return(frames.Array!);
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct PendingEntry(long Sequence, long Record);
}
