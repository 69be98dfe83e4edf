using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Briatico, Ciuffoletti, Simoncini, "A Distributed Domino-Effect Free Recovery Algorithm", SRDS 1984. Each message
/// carries its sender's index sn; one with m.sn &gt; sn forces a checkpoint with label m.sn before it is delivered; a
/// basic checkpoint has label sn + 1.
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct Bcs : IScalarProtocol<Bcs>
{
    private Numbering _numbering;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "bcs",
        Source = "Briatico, Ciuffoletti, Simoncini 1984",
        Line = LineRule.FirstAtLeast,
        PiggybackBytes = sizeof(long),
        NoUselessCheckpoints = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public readonly ScalarState State => new(_numbering.Index, 0);

    /// <inheritdoc/>
    public static Bcs Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public static Bcs From(ScalarState state) => new() { _numbering = new() { Index = state.Index } };

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

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
    public readonly Bcs Save() => new() { _numbering = _numbering.Saved() };

    /// <inheritdoc/>
    public void OnRollback(in Bcs saved, long line) => this = saved;
}
