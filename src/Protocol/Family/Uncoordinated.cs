using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Independent checkpoints: basic ones only, nothing on messages. The baseline that shows useless checkpoints and the
/// domino effect (Randell, "System Structure for Software Fault Tolerance", TSE 1(2) 1975).
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct Uncoordinated : IProtocol<Uncoordinated, NoPiggyback>
{
    private Numbering _numbering;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "uncoordinated",
        Source = "Randell 1975",
        Line = LineRule.Propagation,
        PiggybackBytes = 0,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public static Uncoordinated Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

    /// <inheritdoc/>
    public readonly bool OnSend(int to, out NoPiggyback piggyback)
    {
        piggyback = default;
        return false;
    }

    /// <inheritdoc/>
    public readonly ReceiveDecision OnReceive(int from, in NoPiggyback piggyback) =>
        _numbering.Pending ? ReceiveDecision.Wait : ReceiveDecision.Deliver;

    /// <inheritdoc/>
    public readonly bool OnRaise(long index) => false;

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        _numbering.Done();
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly Uncoordinated Save() => new() { _numbering = _numbering.Saved() };

    /// <inheritdoc/>
    public void OnRollback(in Uncoordinated saved, long line) => this = saved;
}
