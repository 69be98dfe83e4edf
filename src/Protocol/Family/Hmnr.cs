using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// The fully informed protocol: Helary, Mostefaoui, Netzer, Raynal, "Communication-Based Prevention of Useless Checkpoints
/// in Distributed Computations", Distributed Computing 13(1) 2000. Messages carry the clock lc, for each node whether lc
/// is greater than its clock as far as is known (greater), its checkpoints known (ckpt), and whether a checkpoint was
/// taken on the causal way from there (taken). m forces a checkpoint where m.lc &gt; lc and something was sent, in this
/// interval, to a k with m.greater[k]; or where m comes out of this very interval with a checkpoint on the way
/// (m.ckpt[i] = ckpt[i] and m.taken[i]).
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct Hmnr : IProtocol<Hmnr, HmnrPiggyback>
{
    private Numbering _numbering;
    private int _node;
    private bool[] _sentTo;
    private bool[] _greater;
    private bool[] _taken;
    private int[] _checkpoints;

    // What was sent last; null where it has changed since. It shares the arrays but _sentTo.
    private HmnrPiggyback? _sentLast;

    private Hmnr(int node, int nodes)
    {
        _node = node;
        _sentTo = new bool[nodes];
        _greater = new bool[nodes];
        _taken = new bool[nodes];
        _checkpoints = new int[nodes];
        Array.Fill(_greater, true);
        Array.Fill(_taken, true);

        // Nothing is known yet of the others, not even their initial checkpoints.
        Array.Fill(_checkpoints, -1);
        _greater[node] = false;
        _taken[node] = false;
        _checkpoints[node] = 0;
    }

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "hmnr",
        Source = "Helary, Mostefaoui, Netzer, Raynal 2000",
        Line = LineRule.Propagation,
        PiggybackBytes = sizeof(long),
        PiggybackBitsPerNode = (8 * sizeof(int)) + 2,
        NoUselessCheckpoints = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public static Hmnr Create(int node, int nodes) => new(node, nodes);

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

    /// <inheritdoc/>
    public bool OnSend(int to, out HmnrPiggyback piggyback)
    {
        _sentTo[to] = true;
        piggyback = _sentLast ??= new HmnrPiggyback(_numbering.Index, _greater, _taken, _checkpoints);
        return false;
    }

    /// <inheritdoc/>
    public ReceiveDecision OnReceive(int from, in HmnrPiggyback piggyback)
    {
        if (_numbering.Pending)
        {
            return ReceiveDecision.Wait;
        }

        if (ClosesCycle(piggyback) || OutrunsReceiver(piggyback))
        {
            return _numbering.Force(_numbering.Index + 1);
        }

        Merge(piggyback);
        return ReceiveDecision.Deliver;
    }

    /// <inheritdoc/>
    public readonly bool OnRaise(long index) => false;

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        _numbering.Done();
        MakeOwn();
        Array.Clear(_sentTo);
        Array.Fill(_greater, true);
        Array.Fill(_taken, true);
        _greater[_node] = false;
        _taken[_node] = false;
        _checkpoints[_node]++;
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed() => _numbering.Failed();

    /// <inheritdoc/>
    public readonly Hmnr Save()
    {
        Hmnr copy = this;
        copy._sentTo = (bool[])_sentTo.Clone();
        copy._sentLast = HmnrPiggyback.Shared;
        copy.MakeOwn();
        if (_numbering.Pending)
        {
            _ = copy.OnCheckpointDone();
        }

        return copy;
    }

    /// <inheritdoc/>
    public void OnRollback(in Hmnr saved, long line) => this = saved.Save();

    /// <summary>A checkpoint lies on the causal way that m took out of this very interval.</summary>
    internal readonly bool ClosesCycle(HmnrPiggyback message) =>
        message.Checkpoints[_node] == _checkpoints[_node] && message.Taken[_node];

    /// <summary>m's clock is ahead, and so may be that of a node to which something was sent in this interval.</summary>
    internal readonly bool OutrunsReceiver(HmnrPiggyback message)
    {
        if (message.Clock > _numbering.Index)
        {
            for (int k = 0; k < _sentTo.Length; k++)
            {
                if (_sentTo[k] && message.Greater[k])
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>What is known of node k: whether something was sent to it in this interval, whether the clock here is
    /// greater than its clock, its last checkpoint known, and whether one was taken on the causal way from that.</summary>
    internal readonly (bool SentTo, bool Greater, int Checkpoint, bool Taken) Known(int k) =>
        (_sentTo[k], _greater[k], _checkpoints[k], _taken[k]);

    /// <summary>m is delivered.</summary>
    internal void Merge(HmnrPiggyback message)
    {
        MakeOwn();
        if (message.Clock > _numbering.Index)
        {
            _numbering.Index = message.Clock;
            Array.Copy(message.Greater, _greater, _greater.Length);
            _greater[_node] = false;
        }
        else if (message.Clock == _numbering.Index)
        {
            for (int k = 0; k < _greater.Length; k++)
            {
                _greater[k] &= message.Greater[k];
            }
        }

        for (int k = 0; k < _checkpoints.Length; k++)
        {
            if (message.Checkpoints[k] > _checkpoints[k])
            {
                _checkpoints[k] = message.Checkpoints[k];
                _taken[k] = message.Taken[k];
            }
            else if (message.Checkpoints[k] == _checkpoints[k] && k != _node)
            {
                _taken[k] |= message.Taken[k];
            }
        }
    }

    private void MakeOwn()
    {
        if (_sentLast is not null)
        {
            _greater = (bool[])_greater.Clone();
            _taken = (bool[])_taken.Clone();
            _checkpoints = (int[])_checkpoints.Clone();
            _sentLast = null;
        }
    }
}
