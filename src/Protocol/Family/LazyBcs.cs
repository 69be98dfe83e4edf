using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Lazy-BCS: forced checkpoints as in BCS; a basic checkpoint raises sn only where a message with m.sn = sn was received
/// since sn was last set, and otherwise bears the same label as the one before it. Vieira, Garcia, Buzato, "Systematic
/// Analysis of Index-Based Checkpointing Algorithms Using Simulation", SCTF 2001.
/// </summary>
/// <remarks>Indices never fall along a Z-path, so one from a checkpoint with label sn back to it ends in a message with
/// m.sn = sn that was received before it: just what makes the next basic checkpoint raise sn.</remarks>
[StructLayout(LayoutKind.Auto)]
public struct LazyBcs : IScalarProtocol<LazyBcs>
{
    private Numbering _numbering;
    private bool _equalReceived;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "lazy-bcs",
        Source = "Vieira, Garcia, Buzato 2001",
        Line = LineRule.FirstAtLeast,
        PiggybackBytes = sizeof(long),
        NoUselessCheckpoints = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public readonly ScalarState State => new(_numbering.Index, _equalReceived ? 1 : 0);

    /// <inheritdoc/>
    public static LazyBcs Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public static LazyBcs From(ScalarState state) => new() { _numbering = new() { Index = state.Index }, _equalReceived = state.Extra != 0 };

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(Math.Max(1, _numbering.Index + (_equalReceived ? 1 : 0)));

    /// <inheritdoc/>
    public readonly bool OnSend(int to, out long piggyback)
    {
        piggyback = _numbering.Index;
        return false;
    }

    /// <inheritdoc/>
    public ReceiveDecision OnReceive(int from, in long piggyback)
    {
        if (_numbering.Pending)
        {
            return ReceiveDecision.Wait;
        }

        if (piggyback > _numbering.Index)
        {
            return _numbering.Force(piggyback);
        }

        _equalReceived |= piggyback == _numbering.Index;
        return ReceiveDecision.Deliver;
    }

    /// <inheritdoc/>
    public bool OnRaise(long index) => index > _numbering.Index && _numbering.Begin(index);

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        this = Save();
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly LazyBcs Save()
    {
        Numbering saved = _numbering.Saved();
        return new() { _numbering = saved, _equalReceived = _equalReceived && saved.Index == _numbering.Index };
    }

    /// <inheritdoc/>
    public void OnRollback(in LazyBcs saved, long line) => this = saved;
}
