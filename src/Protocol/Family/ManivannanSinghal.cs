using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Manivannan, Singhal, "Quasi-Synchronous Checkpointing: Models, Characterization, and Classification", TPDS 10(7)
/// 1999, and "A Low-Overhead Recovery Technique Using Quasi-Synchronous Checkpointing", ICDCS 1996. Each tick counts
/// next := next + 1; a basic checkpoint is taken, with label next, only where next &gt; sn: where a forced one has done
/// its duty the tick passes. Forced as in BCS.
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct ManivannanSinghal : IScalarProtocol<ManivannanSinghal>
{
    private Numbering _numbering;
    private long _next;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "manivannan-singhal",
        Source = "Manivannan, Singhal 1996",
        Line = LineRule.FirstAtLeast,
        PiggybackBytes = sizeof(long),
        NoUselessCheckpoints = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public readonly ScalarState State => new(_numbering.Index, _next);

    /// <inheritdoc/>
    public static ManivannanSinghal Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public static ManivannanSinghal From(ScalarState state) => new() { _numbering = new() { Index = state.Index }, _next = state.Extra };

    /// <inheritdoc/>
    public bool OnTick()
    {
        _next++;
        return _next > _numbering.Index && _numbering.Begin(_next);
    }

    /// <inheritdoc/>
    public readonly bool OnSend(int to, out long piggyback)
    {
        piggyback = _numbering.Index;
        return false;
    }

    /// <inheritdoc/>
    public ReceiveDecision OnReceive(int from, in long piggyback) =>
        _numbering.Pending ? ReceiveDecision.Wait
        : piggyback > _numbering.Index ? _numbering.Force(piggyback)
        : ReceiveDecision.Deliver;

    /// <inheritdoc/>
    public bool OnRaise(long index) => index > _numbering.Index && _numbering.Begin(index);

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        _numbering.Done();
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly ManivannanSinghal Save() => new() { _numbering = _numbering.Saved(), _next = _next };

    /// <inheritdoc/>
    public void OnRollback(in ManivannanSinghal saved, long line) => this = saved;
}
