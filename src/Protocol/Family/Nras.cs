using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// No-receive-after-send: a message that arrives after a send in the same interval forces a checkpoint (Russell, "State
/// Restoration in Systems of Communicating Processes", TSE 6(2) 1980; named so by Wang, "Consistent Global Checkpoints
/// that Contain a Given Set of Local Checkpoints", TC 46(4) 1997). Nothing on messages.
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct Nras : IProtocol<Nras, NoPiggyback>
{
    private Numbering _numbering;
    private bool _sent;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "nras",
        Source = "Russell 1980; Wang 1997",
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
    public static Nras Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

    /// <inheritdoc/>
    public bool OnSend(int to, out NoPiggyback piggyback)
    {
        _sent = true;
        piggyback = default;
        return false;
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
    public readonly Nras Save() =>
        new() { _numbering = _numbering.Saved(), _sent = _sent && !_numbering.Pending };

    /// <inheritdoc/>
    public void OnRollback(in Nras saved, long line) => this = saved;
}
