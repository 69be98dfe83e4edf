using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Checkpoint-after-send: a checkpoint right after every send (Wang, "Consistent Global Checkpoints that Contain a Given
/// Set of Local Checkpoints", TC 46(4) 1997). Nothing on messages.
/// </summary>
/// <remarks>Where the checkpoint after a send fails, the next arrival asks for it again before it is delivered: no
/// interval has a receive after a send.</remarks>
[StructLayout(LayoutKind.Auto)]
public struct Cas : IProtocol<Cas, NoPiggyback>
{
    private Numbering _numbering;
    private bool _sent;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "cas",
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
    public static Cas Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

    /// <inheritdoc/>
    public bool OnSend(int to, out NoPiggyback piggyback)
    {
        _sent = true;
        piggyback = default;
        return _numbering.Begin(_numbering.Index + 1);
    }

    /// <inheritdoc/>
    public ReceiveDecision OnReceive(int from, in NoPiggyback piggyback) =>
        _numbering.Pending ? ReceiveDecision.Wait
        : _sent ? _numbering.Force(_numbering.Index + 1)
        : ReceiveDecision.Deliver;

    /// <inheritdoc/>
    public readonly bool OnRaise(long index) => false;

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        _numbering.Done();
        _sent = false;
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly Cas Save() =>
        new() { _numbering = _numbering.Saved(), _sent = _sent && !_numbering.Pending };

    /// <inheritdoc/>
    public void OnRollback(in Cas saved, long line) => this = saved;
}
