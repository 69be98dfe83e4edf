using System.Buffers.Binary;
using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Family;

namespace XenTwoLevelCkpt.Channels;

/// <summary>The messages of a node without peers: there are none, and its index rises by one with each checkpoint.</summary>
/// <remarks>
/// Its protocol is BCS whatever the cluster's would be: without messages all protocols that promise anything are one. The
/// channel state that it saves is the index of the checkpoint, a little-endian u64.
/// </remarks>
public sealed class LoneNode : INodeMessages
{
    private readonly Lock _gate = new();
    private readonly INodeCheckpoints _checkpoints;
    private ProtocolNode<Bcs, long> _node = new(0, 1);
    private long _durableIndex;
    private bool _quiet;

    /// <summary>Makes the messages of a node as it was.</summary>
    /// <param name="checkpoints">Takes checkpoints.</param>
    /// <param name="index">The node's index, that of its last checkpoint; 0 for none.</param>
    /// <param name="incarnation">The node's incarnation.</param>
    public LoneNode(INodeCheckpoints checkpoints, long index, int incarnation)
    {
        ArgumentNullException.ThrowIfNull(checkpoints);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfNegative(incarnation);
        _checkpoints = checkpoints;
        _node.Protocol = At(index);
        if (incarnation > 0)
        {
            _ = _node.OnSurvive(0, incarnation);
        }
    }

    /// <inheritdoc/>
    public long Index
    {
        get
        {
            lock (_gate)
            {
                return _node.Protocol.Index;
            }
        }
    }

    /// <summary>False: there are no channels.</summary>
    public bool AwaitsRecovery => false;

    /// <inheritdoc/>
    public int Incarnation
    {
        get
        {
            lock (_gate)
            {
                return _node.Incarnation;
            }
        }
    }

    /// <inheritdoc/>
    public long SavedIndex => Index;

    /// <inheritdoc/>
    public long DurableIndex
    {
        get => Interlocked.Read(ref _durableIndex);
        set => Interlocked.Exchange(ref _durableIndex, value);
    }

    /// <inheritdoc/>
    public long OldestKept { get; set; } = long.MaxValue;

    /// <inheritdoc/>
    public int SettledIncarnation { get; set; }

    /// <inheritdoc/>
    public FrameLosses Losses => default;

    /// <inheritdoc/>
    public IReadOnlyList<PeerStatus> Peers => [];

    /// <inheritdoc/>
    public void KnowGuests(IReadOnlyCollection<ulong> addresses)
    {
        // Their frames go nowhere.
    }

    /// <inheritdoc/>
    public void Start()
    {
        // There is nobody to connect to.
    }

    /// <inheritdoc/>
    public bool Tick(CheckpointCause cause)
    {
        long label;
        lock (_gate)
        {
            if (_quiet || !_node.Protocol.OnTick())
            {
                return false;
            }

            label = _node.Protocol.PendingLabel;
        }

        _checkpoints.Begin(label, cause, null);
        return true;
    }

    /// <inheritdoc/>
    public void Retry()
    {
        // No batch waits.
    }

    /// <inheritdoc/>
    public void Suspended()
    {
        // Nothing is under way.
    }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> TakeState()
    {
        byte[] state = new byte[sizeof(long)];
        lock (_gate)
        {
            BinaryPrimitives.WriteInt64LittleEndian(state, _node.Protocol.Save().Index);
        }

        return state;
    }

    /// <inheritdoc/>
    public void CheckpointDone()
    {
        lock (_gate)
        {
            _ = _node.Protocol.OnCheckpointDone();
        }
    }

    /// <inheritdoc/>
    public void CheckpointFailed()
    {
        lock (_gate)
        {
            _node.Protocol.OnCheckpointFailed();
        }
    }

    /// <inheritdoc/>
    public void Quiesce()
    {
        lock (_gate)
        {
            _quiet = true;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidDataException"><paramref name="state"/> is not this class's.</exception>
    public long RollBack(
        ReadOnlyMemory<byte> state, long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false)
    {
        if (state.Length is not (0 or sizeof(long)))
        {
            throw new InvalidDataException(
                $"The checkpoint's channel state has {state.Length} bytes; that of a node without peers has {sizeof(long)}.");
        }

        Bcs saved = At(state.IsEmpty ? 0 : BinaryPrimitives.ReadInt64LittleEndian(state.Span));
        lock (_gate)
        {
            _node.OnRollback(saved, line, incarnation);
            AwaitsAdoption = adopts;
            _quiet = false;
        }

        return 0;
    }

    /// <inheritdoc/>
    public bool Survive(
        long line, int incarnation, IReadOnlyList<Departure>? lost = null, bool adopts = false)
    {
        long label;
        lock (_gate)
        {
            bool begins = _node.OnSurvive(line, incarnation);
            AwaitsAdoption = adopts;
            _quiet = false;
            if (!begins)
            {
                return false;
            }

            label = _node.Protocol.PendingLabel;
        }

        _checkpoints.Begin(label, CheckpointCause.Recovery, null);
        return true;
    }

    /// <summary>Nothing: there are no channels.</summary>
    public void Resume()
    {
    }

    /// <summary>No batches: there are no channels.</summary>
    public long Adopt(IReadOnlyList<Adoption> adoptions, long line)
    {
        lock (_gate)
        {
            AwaitsAdoption = false;
        }

        return 0;
    }

    /// <summary>Null: there are no channels.</summary>
    public string? ToSettle => null;

    /// <summary>Nothing: there are no channels.</summary>
    public void Settle(string node)
    {
    }

    /// <inheritdoc/>
    public bool AwaitsAdoption { get; private set; }

    /// <summary>Nothing: the index is that of the last checkpoint.</summary>
    public ValueTask<ReadOnlyMemory<byte>?> ParkAsync() => ValueTask.FromResult<ReadOnlyMemory<byte>?>(null);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static Bcs At(long index)
    {
        Bcs state = Bcs.Create(0, 1);
        if (state.OnRaise(index))
        {
            _ = state.OnCheckpointDone();
        }

        return state;
    }
}
