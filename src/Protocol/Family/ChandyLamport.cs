using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// The coordinated baseline: Chandy, Lamport, "Distributed Snapshots: Determining Global States of Distributed Systems",
/// TOCS 3(1) 1985. Node 0 begins a snapshot at each of its ticks; every node that has taken its checkpoint sends a marker
/// to every other one. Messages carry the number of the sender's snapshot, so that channels need not be FIFO (Lai, Yang,
/// "On Distributed Snapshots", IPL 25 1987): one that overtakes the marker does its work.
/// </summary>
/// <remarks>A snapshot costs n (n - 1) markers. Ticks of other nodes than 0 pass. A snapshot that begins before the one
/// before it has reached every node replaces it there.</remarks>
[StructLayout(LayoutKind.Auto)]
public struct ChandyLamport : IProtocol<ChandyLamport, long>
{
    private Numbering _numbering;
    private bool _initiator;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "chandy-lamport",
        Source = "Chandy, Lamport 1985",
        Line = LineRule.FirstAtLeast,
        PiggybackBytes = sizeof(long),
        NoUselessCheckpoints = true,
        SendsControlMessages = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public static ChandyLamport Create(int node, int nodes) => new() { _initiator = node == 0 };

    /// <inheritdoc/>
    public bool OnTick() => _initiator && _numbering.Begin(_numbering.Index + 1);

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
        return true;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly ChandyLamport Save() => new() { _numbering = _numbering.Saved(), _initiator = _initiator };

    /// <inheritdoc/>
    public void OnRollback(in ChandyLamport saved, long line) => this = saved;
}
