using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Fixed-dependency-interval: the dependency vector may not change after the first send or receive of an interval (Wang,
/// "Consistent Global Checkpoints that Contain a Given Set of Local Checkpoints", TC 46(4) 1997). Messages carry the
/// vector.
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct Fdi : IProtocol<Fdi, DependencyVector>
{
    private Numbering _numbering;
    private int _node;
    private int[] _vector;
    private bool _used;

    // The vector as sent last; null where it has changed since. It shares the array.
    private DependencyVector? _sentVector;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "fdi",
        Source = "Wang 1997",
        Line = LineRule.Propagation,
        PiggybackBytes = 0,
        PiggybackBitsPerNode = 8 * sizeof(int),
        NoUselessCheckpoints = true,
        RollbackDependencyTrackable = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public static Fdi Create(int node, int nodes) => new() { _node = node, _vector = DependencyVector.Initial(node, nodes) };

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

    /// <inheritdoc/>
    public bool OnSend(int to, out DependencyVector piggyback)
    {
        _used = true;
        piggyback = _sentVector ??= new DependencyVector(_vector);
        return false;
    }

    /// <inheritdoc/>
    public ReceiveDecision OnReceive(int from, in DependencyVector piggyback)
    {
        if (_numbering.Pending)
        {
            return ReceiveDecision.Wait;
        }

        if (piggyback.HasNewsFor(_vector))
        {
            if (_used)
            {
                return _numbering.Force(_numbering.Index + 1);
            }

            DependencyVector.MakeOwn(ref _vector, ref _sentVector);
            piggyback.MergeInto(_vector);
        }

        _used = true;
        return ReceiveDecision.Deliver;
    }

    /// <inheritdoc/>
    public readonly bool OnRaise(long index) => false;

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        _numbering.Done();
        DependencyVector.MakeOwn(ref _vector, ref _sentVector);
        _vector[_node]++;
        _used = false;
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly Fdi Save()
    {
        Fdi copy = this;
        copy._vector = (int[])_vector.Clone();
        copy._sentVector = null;
        if (_numbering.Pending)
        {
            _ = copy.OnCheckpointDone();
        }

        return copy;
    }

    /// <inheritdoc/>
    public void OnRollback(in Fdi saved, long line) => this = saved.Save();
}
