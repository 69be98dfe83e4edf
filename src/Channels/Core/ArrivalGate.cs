using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Channels;

/// <summary>A batch that came from a peer.</summary>
/// <param name="From">The sender, by its number in the cluster.</param>
/// <param name="Incarnation">The sender's incarnation when it left.</param>
/// <param name="Index">The sender's index when it left.</param>
/// <param name="Sequence">Its place in the channel from that sender.</param>
/// <param name="Frames">The frames, checked.</param>
/// <param name="Origin">The incarnation in which its sender sent it first.</param>
/// <param name="Pooled">True where the frames are in an array of the shared pool, which whoever delivers the batch gives
/// back.</param>
/// <param name="To">The lost node that it was sent to, whose domains are here, by its number; -1 for this node.</param>
public readonly record struct ArrivedBatch(
    int From, int Incarnation, long Index, long Sequence, ReadOnlyMemory<byte> Frames, int Origin = 0,
    bool Pooled = false, int To = -1);

/// <summary>What the gate has done to batches. Called on the gate's thread, in order.</summary>
public interface IArrivals
{
    /// <summary>The guests get the batch.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="logged">True where it crosses a line that this node may go back to, and has to be in the channel log
    /// before it is acknowledged.</param>
    void Deliver(in ArrivedBatch batch, bool logged);

    /// <summary>The batch is of a past that was rolled back, and is dropped.</summary>
    /// <param name="batch">The batch.</param>
    void Reject(in ArrivedBatch batch);

    /// <summary>A checkpoint has to be taken now. Ends with <see cref="ArrivalGate{TProtocol}.CheckpointDone"/> or
    /// <see cref="ArrivalGate{TProtocol}.CheckpointFailed"/>, later and not inside this call.</summary>
    /// <param name="label">The label, set before anything is saved.</param>
    /// <param name="forcedBy">The batch that waits for it; null for a basic checkpoint.</param>
    void BeginCheckpoint(long label, ArrivedBatch? forcedBy);
}

/// <summary>
/// The one place of a node where batches of peers meet its checkpoints: a batch is delivered only when the protocol says
/// so; one that forces a checkpoint, and all batches behind it from every peer, wait until it is saved. Where it fails
/// they go on waiting, and are never delivered first.
/// </summary>
/// <remarks>
/// One thread at a time; calls back into <see cref="IArrivals"/>. The index that leaving batches carry comes from
/// <see cref="Stamp"/>, so what is sent while a checkpoint is taken counts as sent before it.
/// </remarks>
/// <typeparam name="TProtocol">A protocol whose messages carry one index.</typeparam>
public sealed class ArrivalGate<TProtocol>
    where TProtocol : struct, IProtocol<TProtocol, long>
{
    private readonly Queue<ArrivedBatch> _held = new();
    private readonly IArrivals _arrivals;
    private readonly long _maxHeldBytes;
    private ProtocolNode<TProtocol, long> _node;
    private bool _draining;
    private bool _forced;
    private bool _failed;

    /// <summary>Makes the gate of a node that has just begun, or has just gone back to a checkpoint.</summary>
    /// <param name="node">The protocol's state.</param>
    /// <param name="arrivals">Learns what happens.</param>
    /// <param name="maxHeldBytes">How many bytes of frames wait here before <see cref="IsFull"/>.</param>
    public ArrivalGate(ProtocolNode<TProtocol, long> node, IArrivals arrivals, long maxHeldBytes)
    {
        ArgumentNullException.ThrowIfNull(arrivals);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxHeldBytes);
        _node = node;
        _arrivals = arrivals;
        _maxHeldBytes = maxHeldBytes;
    }

    /// <summary>The node's index.</summary>
    public long Index => _node.Protocol.Index;

    /// <summary>The node's incarnation.</summary>
    public int Incarnation => _node.Incarnation;

    /// <summary>The label of the checkpoint that is being taken; 0 while none is.</summary>
    public long PendingLabel => _node.Protocol.PendingLabel;

    /// <summary>Bytes of frames that wait.</summary>
    public long HeldBytes { get; private set; }

    /// <summary>True where no more should be read from peers: what they send then waits with them.</summary>
    public bool IsFull => HeldBytes >= _maxHeldBytes;

    /// <summary>A batch has come. Delivers it, or keeps it.</summary>
    /// <param name="batch">The batch; its frames stay as they are until it is delivered or rejected.</param>
    public void Arrive(in ArrivedBatch batch)
    {
        _held.Enqueue(batch);
        HeldBytes += batch.Frames.Length;
        if (!_failed)
        {
            Drain();
        }
    }

    /// <summary>The timer for basic checkpoints has fired.</summary>
    public void Tick()
    {
        if (_node.Protocol.OnTick())
        {
            _arrivals.BeginCheckpoint(PendingLabel, null);
        }
    }

    /// <summary>A batch leaves for a peer.</summary>
    /// <param name="to">The peer.</param>
    /// <returns>The index that it carries.</returns>
    public long Stamp(int to)
    {
        bool begins = _node.Protocol.OnSend(to, out long index);
        if (begins)
        {
            _arrivals.BeginCheckpoint(PendingLabel, null);
        }

        return index;
    }

    /// <summary>The checkpoint that was being taken is saved: what waits goes on.</summary>
    public void CheckpointDone()
    {
        _ = _node.Protocol.OnCheckpointDone();
        _forced = false;
        _failed = false;
        Drain();
    }

    /// <summary>The checkpoint that was being taken is not saved. What waits goes on waiting, until <see cref="Retry"/>; where
    /// a batch forced it, so does what comes meanwhile, which would otherwise ask for the same checkpoint at once.</summary>
    public void CheckpointFailed()
    {
        _node.Protocol.OnCheckpointFailed();
        _failed |= _forced;
        _forced = false;
    }

    /// <summary>Asks again about what waits, some time after a failure.</summary>
    public void Retry()
    {
        _failed = false;
        Drain();
    }

    /// <summary>The protocol's state now; a checkpoint that is being taken is no part of it.</summary>
    public TProtocol Protocol => _node.Protocol;

    /// <summary>The protocol's state for the checkpoint that is being taken.</summary>
    public TProtocol Save() => _node.Protocol.Save();

    /// <summary>The node goes back to a checkpoint in a recovery. What waits here is dropped: whatever of it still has to
    /// arrive is sent again.</summary>
    /// <param name="saved">The protocol's state saved with that checkpoint.</param>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins.</param>
    public void RollBack(in TProtocol saved, long line, int incarnation)
    {
        Forget();
        _node.OnRollback(saved, line, incarnation);
    }

    /// <summary>The node goes on in a new incarnation. What waits here is dropped: its sender sends it again, or was rolled
    /// back behind it.</summary>
    /// <param name="line">k.</param>
    /// <param name="incarnation">The incarnation that begins.</param>
    /// <returns>True where a checkpoint begins.</returns>
    /// <exception cref="InvalidOperationException">A checkpoint is being taken: end it first.</exception>
    public bool Survive(long line, int incarnation)
    {
        bool begins = _node.OnSurvive(line, incarnation);
        Forget();
        if (begins)
        {
            _arrivals.BeginCheckpoint(PendingLabel, null);
        }

        return begins;
    }

    /// <summary>Asks again for the checkpoint that raises the index, after one that failed.</summary>
    /// <param name="line">k.</param>
    /// <returns>True where a checkpoint begins.</returns>
    public bool Raise(long line)
    {
        bool begins = _node.Protocol.OnRaise(line);
        if (begins)
        {
            _arrivals.BeginCheckpoint(PendingLabel, null);
        }

        return begins;
    }

    private void Forget()
    {
        _forced = false;
        _failed = false;
        _held.Clear();
        HeldBytes = 0;
    }

    private void Force(in ArrivedBatch batch)
    {
        _forced = true;
        _arrivals.BeginCheckpoint(PendingLabel, batch);
    }

    // A node that is behind its peers would take a checkpoint for each index that waits, and fall back further where one takes
    // longer than their timers. So the protocol is asked first about the highest index that waits, which may have come
    // first as well; batches with lower ones cross its line, and are logged.
    private bool CatchesUp(in ArrivedBatch first, out ArrivedBatch highest)
    {
        highest = first;
        if (TProtocol.Traits.Line != LineRule.FirstAtLeast || first.Incarnation != Incarnation || first.Index <= Index
            || PendingLabel != 0)
        {
            return false;
        }

        foreach (ArrivedBatch batch in _held)
        {
            if (batch.Incarnation == Incarnation && batch.Index > highest.Index)
            {
                highest = batch;
            }
        }

        return highest.Index > first.Index && _node.Protocol.OnRaise(highest.Index);
    }

    private void Drain()
    {
        if (_draining)
        {
            // A delivery led back here; the loop below goes on with it.
            return;
        }

        _draining = true;
        try
        {
            while (_held.TryPeek(out ArrivedBatch batch) && Settle(batch))
            {
                _ = _held.Dequeue();
                HeldBytes -= batch.Frames.Length;
            }
        }
        finally
        {
            _draining = false;
        }
    }

    private bool Settle(in ArrivedBatch batch)
    {
        if (CatchesUp(batch, out ArrivedBatch highest))
        {
            Force(highest);
            return false;
        }

        switch (_node.OnReceive(batch.From, batch.Incarnation, batch.Index))
        {
            case ReceiveDecision.Deliver:
                _arrivals.Deliver(batch, CrossingMessages.MustLog(TProtocol.Traits.Line, batch.Index, Index));
                return true;
            case ReceiveDecision.Reject:
                _arrivals.Reject(batch);
                return true;
            case ReceiveDecision.CheckpointFirst:
                Force(batch);
                return false;
            default:
                return false;
        }
    }
}
