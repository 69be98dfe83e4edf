using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Baldoni, Quaglia, Fornara, "An Index-Based Checkpointing Algorithm for Autonomous Distributed Systems", TPDS 10(2)
/// 1999: a basic checkpoint that can stand for its predecessor in the recovery line keeps sn and raises the number en;
/// otherwise it has sn + 1, en 0. Forced as in BCS.
/// </summary>
/// <remarks>
/// <para>
/// A checkpoint can stand for its predecessor where each message delivered before it with m.sn = sn is known to have been
/// sent before a checkpoint of its sender that is itself such a successor: m.en &lt; the highest en that this node knows of
/// the sender in the lines of sn. Messages carry that knowledge as a vector of en, void for any other sn. It is decided at
/// the first send after the checkpoint, until when deliveries may still bring that knowledge; decided earlier it would
/// never be there, because no message tells what follows its own sending. So the checkpoint is saved with label sn, and
/// where it cannot stand in, the index rises to sn + 1 before that send, as in <see cref="BcsAftersend"/>. The rule is
/// derived from the paper's equivalence relation; it does not follow the letter of its pseudo-code.
/// </para>
/// <para>
/// Why no checkpoint B is useless: indices never fall along a Z-path, so on a cycle through B all messages have m.sn = sn.
/// The last one, sent with m.en, is known at the first send after B to lie before a successor C of its sender; so the path
/// also reaches C without its last message, and what C's node knew at its first send after C came before that send.
/// Repeated, the path shrinks to its first message, sent after B: it is known to lie before a successor B' of B's own
/// node, by a chain that begins with the first send after B' and ends before the first send after B. That is impossible.
/// </para>
/// </remarks>
[StructLayout(LayoutKind.Auto)]
public struct Bqf : IProtocol<Bqf, IndexedVector>
{
    private Numbering _numbering;
    private int _node;

    // The checkpoint being taken is a basic one that may stand in.
    private bool _mayStandIn;

    // It is not decided yet whether the last checkpoint stands in: nothing was sent since.
    private bool _undecided;

    // Of each node the highest en known in the lines of the present index; this node's is its own.
    private int[] _known;

    // Of each node the highest m.en among its messages delivered with m.sn = sn, plus 1; 0 for none.
    private int[] _received;

    // The same at the undecided checkpoint.
    private int[] _receivedBefore;

    // What was sent last; null where it has changed since. It shares _known.
    private IndexedVector? _sentVector;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "bqf",
        Source = "Baldoni, Quaglia, Fornara 1999",
        Line = LineRule.LastBeforeReaching,
        PiggybackBytes = sizeof(long),
        PiggybackBitsPerNode = 8 * sizeof(int),
        NoUselessCheckpoints = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public static Bqf Create(int node, int nodes) => new()
    {
        _node = node,
        _known = new int[nodes],
        _received = new int[nodes],
        _receivedBefore = new int[nodes],
    };

    /// <inheritdoc/>
    public bool OnTick()
    {
        if (_numbering.Pending)
        {
            return false;
        }

        // The label is set now, so that the index may not rise any more while the checkpoint is being taken.
        Decide();
        _mayStandIn = _numbering.Index > 0;
        return _numbering.Begin(Math.Max(1, _numbering.Index));
    }

    /// <inheritdoc/>
    public bool OnSend(int to, out IndexedVector piggyback)
    {
        Decide();
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
        _numbering.Done();
        if (_mayStandIn)
        {
            Array.Copy(_received, _receivedBefore, _received.Length);
            _mayStandIn = false;
            _undecided = true;
        }
        else
        {
            BeginIndex();
        }

        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed()
    {
        _numbering.Failed();
        _mayStandIn = false;
    }

    /// <inheritdoc/>
    public readonly Bqf Save()
    {
        Bqf copy = this;
        copy._known = (int[])_known.Clone();
        copy._received = (int[])_received.Clone();
        copy._receivedBefore = (int[])_receivedBefore.Clone();
        copy._sentVector = null;
        if (_numbering.Pending)
        {
            _ = copy.OnCheckpointDone();
        }

        return copy;
    }

    /// <inheritdoc/>
    public void OnRollback(in Bqf saved, long line)
    {
        this = saved.Save();
        if (line > _numbering.Index)
        {
            _numbering.Index = line;
            BeginIndex();
        }
    }

    private void Decide()
    {
        if (!_undecided)
        {
            return;
        }

        for (int i = 0; i < _receivedBefore.Length; i++)
        {
            if (_receivedBefore[i] > _known[i])
            {
                _numbering.Index++;
                BeginIndex();
                return;
            }
        }

        MakeOwn();
        _known[_node]++;
        _undecided = false;
    }

    // What is known of the lines of one index says nothing of another's.
    private void BeginIndex()
    {
        MakeOwn();
        Array.Clear(_known);
        Array.Clear(_received);
        _undecided = false;
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
