using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// BCS with a checkpoint only after a send: m.sn &gt; sn forces one where the node has sent something since its last
/// checkpoint; otherwise sn := m.sn without a checkpoint. Named so by Vieira, Garcia, Buzato, "Systematic Analysis of
/// Index-Based Checkpointing Algorithms Using Simulation", SCTF 2001.
/// </summary>
/// <remarks>An index that rises without a checkpoint makes the last checkpoint the node's member of the lines that it
/// passes: nothing was sent since, so none of what it sent can be an orphan.</remarks>
[StructLayout(LayoutKind.Auto)]
public struct BcsAftersend : IScalarProtocol<BcsAftersend>
{
    private Numbering _numbering;
    private bool _sent;

    /// <inheritdoc/>
    public static ProtocolTraits Traits { get; } = new()
    {
        Name = "bcs-aftersend",
        Source = "Vieira, Garcia, Buzato 2001",
        Line = LineRule.LastBeforeReaching,
        PiggybackBytes = sizeof(long),
        NoUselessCheckpoints = true,
    };

    /// <inheritdoc/>
    public readonly long Index => _numbering.Index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _numbering.Label;

    /// <inheritdoc/>
    public readonly ScalarState State => new(_numbering.Index, _sent ? 1 : 0);

    /// <inheritdoc/>
    public static BcsAftersend Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public static BcsAftersend From(ScalarState state) => new() { _numbering = new() { Index = state.Index }, _sent = state.Extra != 0 };

    /// <inheritdoc/>
    public bool OnTick() => _numbering.Begin(_numbering.Index + 1);

    /// <inheritdoc/>
    public bool OnSend(int to, out long piggyback)
    {
        _sent = true;
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
            if (_sent)
            {
                return _numbering.Force(piggyback);
            }

            _numbering.Index = piggyback;
        }

        return ReceiveDecision.Deliver;
    }

    /// <inheritdoc/>
    public bool OnRaise(long index)
    {
        if (index <= _numbering.Index || _numbering.Pending)
        {
            return false;
        }

        if (_sent)
        {
            return _numbering.Begin(index);
        }

        _numbering.Index = index;
        return false;
    }

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
    public readonly BcsAftersend Save() =>
        new() { _numbering = _numbering.Saved(), _sent = _sent && !_numbering.Pending };

    /// <inheritdoc/>
    public void OnRollback(in BcsAftersend saved, long line)
    {
        // Back at the checkpoint nothing has been sent yet: it can stand for the line without another one.
        this = saved;
        _numbering.Index = Math.Max(_numbering.Index, line);
    }
}
