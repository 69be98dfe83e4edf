using System.Buffers;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Google.Protobuf;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Channels;

/// <summary>The channels to and from one peer, over any number of streams.</summary>
/// <remarks>Under the messenger's lock, but for the open batch, which is the pump's.</remarks>
internal sealed class PeerLink
{
    // The open batch's first array: room for the longest frame. Arrays double up to that of the longest batch.
    private const int LeastOpen = 128 << 10;

    private readonly Queue<PendingEntry> _pending = new();
    private readonly Queue<ArraySegment<byte>> _waiting = new();
    private readonly long _windowBytes;
    private readonly long _waitingLimit;
    private byte[] _open = [];
    private int _used;
    private int _waitingBytes;
    private long _heard;

    internal PeerLink(string name, int number, long windowBytes, long waitingLimit)
    {
        Name = name;
        Number = number;
        _windowBytes = windowBytes;
        _waitingLimit = waitingLimit;
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

    internal SendWindow Out { get; private set; }

    /// <summary>True while the state of a checkpoint holds batches of the window.</summary>
    internal bool IsNoted { get; set; }

    internal ReceiveWindow In { get; private set; } = new();

    /// <summary>The stream that is open, or null.</summary>
    internal LinkSession? Session { get; set; }

    /// <summary>Octets of the open batch that are filled.</summary>
    internal int Used => _used;

    /// <summary>True where the open batch may not have room for one more frame.</summary>
    internal bool IsOpenFull => _used > FrameBatch.MaxLength - FrameBatch.Prefix - FrameBatch.MaxFrame;

    /// <summary>True where the next frame can go into the open batch: there is room, and none waits before it.</summary>
    internal bool HasPlace => !IsOpenFull && _waiting.Count == 0;

    /// <summary>True where one more frame may wait for room.</summary>
    internal bool MayWait => _waitingBytes <= _waitingLimit - FrameBatch.MaxFrame;

    /// <summary>Frames that were dropped, as too many waited for room.</summary>
    internal long Dropped { get; private set; }

    /// <summary>The place of the open batch's next frame, <see cref="FrameBatch.MaxFrame"/> octets; there is room.</summary>
    internal Span<byte> NextFrame
    {
        get
        {
            if (_open.Length - _used < FrameBatch.Prefix + FrameBatch.MaxFrame)
            {
                byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Clamp(_open.Length * 2, LeastOpen, FrameBatch.MaxLength));
                if (_open.Length > 0)
                {
                    _open.AsSpan(0, _used).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(_open);
                }

                _open = larger;
            }

            return _open.AsSpan(_used + FrameBatch.Prefix, FrameBatch.MaxFrame);
        }
    }

    internal long Index { get; set; }

    internal long DurableIndex { get; set; }

    internal int Incarnation { get; set; }

    internal DateTimeOffset? LastHeard { get; private set; }

    /// <summary>How long nothing has been heard, by the clock that nobody sets.</summary>
    internal TimeSpan Silent => Stopwatch.GetElapsedTime(_heard);

    /// <summary>Since when frames wait for room (<see cref="Stopwatch.GetTimestamp"/>), or null.</summary>
    internal long? FullSince { get; set; }

    internal string? Problem { get; set; }

    /// <summary>What can be acknowledged: what was delivered, up to the first batch that is not in the log yet.</summary>
    internal long Acknowledgeable => _pending.TryPeek(out PendingEntry entry) ? entry.Sequence - 1 : In.Settled;

    /// <summary>Something has come.</summary>
    internal void Heard()
    {
        LastHeard = DateTimeOffset.UtcNow;
        _heard = Stopwatch.GetTimestamp();
    }

    /// <summary>A frame waits for room, or is dropped where too many wait.</summary>
    internal void Wait(ReadOnlySpan<byte> frame)
    {
        if (!MayWait)
        {
            Dropped++;
            return;
        }

        byte[] kept = ArrayPool<byte>.Shared.Rent(frame.Length);
        frame.CopyTo(kept);
        _waiting.Enqueue(new ArraySegment<byte>(kept, 0, frame.Length));
        _waitingBytes += frame.Length;
    }

    /// <summary>What waits goes into the open batch, as far as there is room.</summary>
    internal void TakeWaiting()
    {
        while (!IsOpenFull && _waiting.TryDequeue(out ArraySegment<byte> frame))
        {
            frame.AsSpan().CopyTo(NextFrame);
            Commit(frame.Count);
            _waitingBytes -= frame.Count;
            ArrayPool<byte>.Shared.Return(frame.Array!);
        }
    }

    /// <summary>The frame in <see cref="NextFrame"/> is one of the open batch.</summary>
    internal void Commit(int length) => FrameBatch.Commit(_open, ref _used, length);

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
        _used = 0;
        while (_waiting.TryDequeue(out ArraySegment<byte> frame))
        {
            ArrayPool<byte>.Shared.Return(frame.Array!);
        }

        _waitingBytes = 0;
    }

    /// <summary>The open batch leaves: its array, where at least half of it is filled, so that a window's batches take at most
    /// twice its octets; else a copy.</summary>
    internal SentBatch Seal(long index, int incarnation, bool beyond)
    {
        byte[] frames = _open;
        if (_used < _open.Length / 2)
        {
            frames = ArrayPool<byte>.Shared.Rent(_used);
            _open.AsSpan(0, _used).CopyTo(frames);
        }
        else
        {
            _open = ArrayPool<byte>.Shared.Rent(LeastOpen);
        }

        SentBatch batch = Out.Add(index, frames.AsMemory(0, _used), incarnation, beyond, pooled: true);
        _used = 0;
        return batch;
    }

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

/// <summary>A stream that is open to a peer.</summary>
internal sealed class LinkSession(PeerLink link, int incarnation, CancellationToken life) : IDisposable
{
    private readonly CancellationTokenSource _cancel = CancellationTokenSource.CreateLinkedTokenSource(life);
    private readonly SemaphoreSlim _signal = new(0, 1);
    private readonly Queue<SentBatch> _toSend = new();
    private long _acknowledged = -1;
    private long? _dropped;
    private int _droppedIncarnation;

    internal PeerLink Link { get; } = link;

    /// <summary>That of both sides' Hello.</summary>
    internal int Incarnation { get; } = incarnation;

    /// <summary>Ends the stream.</summary>
    internal CancellationToken Token => _cancel.Token;

    /// <summary>Ends when nobody uses the stream any more.</summary>
    internal TaskCompletionSource Ended { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>True while it is not read from, as too much waits for a checkpoint.</summary>
    internal bool Rests { get; set; }

    internal bool HeartbeatDue { get; set; }

    /// <summary>The sequence number of the last batch that the stream does not need any more.</summary>
    internal long Written { get; set; }

    /// <summary>True where the peer has been told all that can be acknowledged.</summary>
    internal bool HasAcknowledged => Link.Acknowledgeable <= Math.Max(_acknowledged, 0);

    internal void Cancel() => _cancel.Cancel();

    internal void Enqueue(in SentBatch batch)
    {
        _toSend.Enqueue(batch);
        Signal();
    }

    /// <summary>A batch of an older incarnation is dropped, and acknowledged.</summary>
    internal void Drop(long sequence, int incarnation)
    {
        (_dropped, _droppedIncarnation) = (sequence, incarnation);
        Signal();
    }

    internal void Signal()
    {
        if (_signal.CurrentCount == 0)
        {
            _ = _signal.Release();
        }
    }

    internal Task WaitAsync() => _signal.WaitAsync(Token);

    /// <summary>The message that is to be sent next; null where there is none. Acknowledgements go first: they make room at
    /// the peer.</summary>
    internal ChannelMessage? Next(Func<PeerLink, Heartbeat> heartbeat, out bool isBatch)
    {
        isBatch = false;
        if (_dropped is long dropped)
        {
            _dropped = null;
            return Acknowledge(dropped, _droppedIncarnation);
        }

        if (Link.Acknowledgeable > Math.Max(_acknowledged, 0))
        {
            _acknowledged = Link.Acknowledgeable;
            return Acknowledge(_acknowledged, Incarnation);
        }

        if (HeartbeatDue)
        {
            HeartbeatDue = false;
            return new ChannelMessage { Heartbeat = heartbeat(Link) };
        }

        if (Link.Waits || !_toSend.TryDequeue(out SentBatch batch))
        {
            return null;
        }

        isBatch = true;
        return new ChannelMessage
        {
            Batch = new Batch
            {
                Incarnation = (ulong)Incarnation,
                Sn = (ulong)batch.Index,
                Sequence = (ulong)batch.Sequence,
                FrameCount = (uint)FrameBatch.Check(batch.Frames.Span),
                Frames = UnsafeByteOperations.UnsafeWrap(batch.Frames),
                OriginIncarnation = (ulong)batch.Origin,
            },
        };
    }

    /// <summary>A batch came again that was taken over already: its sender has not seen that.</summary>
    internal void AcknowledgeAgain()
    {
        _acknowledged = -1;
        Signal();
    }

    public void Dispose()
    {
        _cancel.Dispose();
        _signal.Dispose();
    }

    private static ChannelMessage Acknowledge(long through, int incarnation) => new()
    {
        Acknowledgement = new Acknowledgement { Through = (ulong)through, Incarnation = (ulong)incarnation },
    };
}
