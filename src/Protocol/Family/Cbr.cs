using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Checkpoint-before-receive: a checkpoint right before every delivery (Wang, "Consistent Global Checkpoints that Contain
/// a Given Set of Local Checkpoints", TC 46(4) 1997). Nothing on messages. A checkpoint after which nothing was sent or
/// delivered counts as the one before.
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct Cbr : IProtocol<Cbr, NoPiggyback>
{
    private Numbering _numbering;
    private bool _used;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "cbr",
        Source = "Wang 1997",
        Line = LineRule.Propagation,
        PiggybackBytes = 0,
        NoUselessCheckpoints = true,
        RollbackDependencyTrackable = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public static Cbr Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

    /// <inheritdoc/>
    public bool OnSend(int to, out NoPiggyback piggyback)
    {
        _used = true;
        piggyback = default;
        return false;
    }

    /// <inheritdoc/>
    public ReceiveDecision OnReceive(int from, in NoPiggyback piggyback)
    {
        if (_numbering.Pending)
        {
            return ReceiveDecision.Wait;
        }

        if (_used)
        {
            return _numbering.Force(_numbering.Index + 1);
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
        _used = false;
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly Cbr Save() =>
        new() { _numbering = _numbering.Saved(), _used = _used && !_numbering.Pending };

    /// <inheritdoc/>
    public void OnRollback(in Cbr saved, long line) => this = saved;
}
