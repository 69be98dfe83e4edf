using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Baldoni, Quaglia, Fornara, "An Index-Based Checkpointing Algorithm for Autonomous Distributed Systems", TPDS 10(2)
/// 1999: a basic checkpoint that can stand for its predecessor in the recovery line keeps sn and raises the number en;
/// otherwise it has sn + 1, en 0. Forced as in BCS.
/// </summary>
/// <remarks>
/// <para>
/// A checkpoint can stand for its predecessor where each message delivered with m.sn = sn is known to have been sent
/// before a checkpoint of its sender that is itself such a successor: m.en &lt; the highest en that this node knows of
/// the sender in the lines of sn. Messages carry that knowledge as a vector of en, which is void for any other sn. The
/// rule is derived from the paper's equivalence relation; it does not follow the letter of its pseudo-code.
/// </para>
/// <para>
/// Why no checkpoint is useless: on a Z-cycle through B all messages have m.sn = sn. The last of them, sent with m.en,
/// is known at B to lie before a checkpoint C of its sender, which precedes B causally; so the path also reaches C
/// without its last message. Repeated, the path shrinks to its first message, sent after B and known, before B, to lie
/// before a later checkpoint of the same node: impossible.
/// </para>
/// </remarks>
[StructLayout(LayoutKind.Auto)]
public struct Bqf : IProtocol<Bqf, IndexedVector>
{
    private Numbering _numbering;
    private int _node;

    // Of each node the highest en known in the lines of the present index; this node's is its own.
    private int[] _known;

    // Of each node the highest m.en among its messages delivered with m.sn = sn, plus 1; 0 for none.
    private int[] _received;

    // What was sent last; null where it has changed since. It shares _known.
    private IndexedVector? _sentVector;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "bqf",
        Source = "Baldoni, Quaglia, Fornara 1999",
        Line = LineRule.FirstAtLeast,
        PiggybackBytes = sizeof(long),
        PiggybackBitsPerNode = 8 * sizeof(int),
        NoUselessCheckpoints = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public static Bqf Create(int node, int nodes) => new() { _node = node, _known = new int[nodes], _received = new int[nodes] };

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(Math.Max(1, _numbering.Index + (CanStandIn() ? 0 : 1)));

    /// <inheritdoc/>
    public bool OnSend(int to, out IndexedVector piggyback)
    {
        piggyback = _sentVector ??= new IndexedVector(_numbering.Index, _known);
        return false;
    }

    /// <inheritdoc/>
    public ReceiveDecision OnReceive(int from, in IndexedVector piggyback)
    {
        if (_numbering.Pending)
        {
            return ReceiveDecision.Wait;
        }

        if (piggyback.Index > _numbering.Index)
        {
            return _numbering.Force(piggyback.Index);
        }

        if (piggyback.Index == _numbering.Index)
        {
            _received[from] = Math.Max(_received[from], piggyback.Values[from] + 1);
            if (piggyback.Values.HasNewsFor(_known))
            {
                MakeOwn();
                piggyback.Values.MergeInto(_known);
            }
        }

        return ReceiveDecision.Deliver;
    }

    /// <inheritdoc/>
    public bool OnRaise(long index) => index > _numbering.Index && _numbering.Begin(index);

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        long before = _numbering.Index;
        _numbering.Done();
        MakeOwn();
        if (_numbering.Index == before)
        {
            _known[_node]++;
        }
        else
        {
            Array.Clear(_known);
            Array.Clear(_received);
        }

        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly Bqf Save()
    {
        Bqf copy = this;
        copy._known = (int[])_known.Clone();
        copy._received = (int[])_received.Clone();
        copy._sentVector = null;
        if (_numbering.Pending)
        {
            _ = copy.OnCheckpointDone();
        }

        return copy;
    }

    /// <inheritdoc/>
    public void OnRollback(in Bqf saved, long line) => this = saved.Save();

    // A label is at least 1, so the first checkpoint never stands in for the initial one.
    private readonly bool CanStandIn()
    {
        for (int i = 0; i < _received.Length; i++)
        {
            if (_received[i] > _known[i])
            {
                return false;
            }
        }

        return true;
    }

    private void MakeOwn()
    {
        if (_sentVector is not null)
        {
            _known = (int[])_known.Clone();
            _sentVector = null;
        }
    }
}
