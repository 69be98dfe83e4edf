using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Family;

/// <summary>
/// Briatico, Ciuffoletti, Simoncini, "A Distributed Domino-Effect Free Recovery Algorithm", SRDS 1984. Each message
/// carries its sender's index sn; one with m.sn > sn forces a checkpoint with label m.sn before it is delivered; a basic
/// checkpoint has label sn + 1.
/// </summary>
[StructLayout(LayoutKind.Auto)]
public struct Bcs : IProtocol<Bcs, long>
{
    private long _index;
    private long _label;

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
    public readonly long Index => _index;

    /// <inheritdoc/>
    public readonly long PendingLabel => _label;

    /// <inheritdoc/>
    public static Bcs Create(int node, int nodes) => default;

    /// <inheritdoc/>
    public bool OnTick() => Begin(_index + 1);

    /// <inheritdoc/>
    public readonly bool OnSend(int to, out long piggyback)
    {
        piggyback = _index;
        return false;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ReceiveDecision OnReceive(int from, in long piggyback)
    {
        if (_label != 0)
        {
            return ReceiveDecision.Wait;
        }

        if (piggyback > _index)
        {
            _label = piggyback;
            return ReceiveDecision.CheckpointFirst;
        }

        return ReceiveDecision.Deliver;
    }

    /// <inheritdoc/>
    public bool OnRaise(long index) => index > _index && Begin(index);

    /// <inheritdoc/>
    public bool OnCheckpointDone()
    {
        Pending.Require(_label);
        _index = _label;
        _label = 0;
        return false;
    }

    /// <inheritdoc/>
    public void OnCheckpointFailed()
    {
        Pending.Require(_label);
        _label = 0;
    }

    /// <inheritdoc/>
    public readonly Bcs Save() => new() { _index = _label != 0 ? _label : _index };

    /// <inheritdoc/>
    public void OnRollback(in Bcs saved) => this = saved;

    private bool Begin(long label)
    {
        if (_label != 0)
        {
            return false;
        }

        _label = label;
        return true;
    }
}
