using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol.Family;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>A change to a protocol that breaks it.</summary>
internal interface IFault
{
    /// <summary>Forces a checkpoint of <see cref="Hmnr"/>, or fails to.</summary>
    static abstract bool Forces(in Hmnr state, HmnrPiggyback message);
}

/// <summary>The first condition alone.</summary>
internal readonly struct WithoutCycleTest : IFault
{
    public static bool Forces(in Hmnr state, HmnrPiggyback message) => state.OutrunsReceiver(message);
}

/// <summary>The second condition alone.</summary>
internal readonly struct WithoutClockTest : IFault
{
    public static bool Forces(in Hmnr state, HmnrPiggyback message) => state.ClosesCycle(message);
}

/// <summary>Both conditions together, where either has to do.</summary>
internal readonly struct BothAtOnce : IFault
{
    public static bool Forces(in Hmnr state, HmnrPiggyback message) =>
        state.ClosesCycle(message) && state.OutrunsReceiver(message);
}

/// <summary>One more thing that has to hold of k before something that was sent to it forces a checkpoint.</summary>
internal interface ITerm
{
    static abstract bool Holds(in Hmnr state, HmnrPiggyback message, int k);
}

/// <summary>The fully informed condition with a term added to its first part.</summary>
internal readonly struct With<TTerm> : IFault
    where TTerm : ITerm
{
    public static bool Forces(in Hmnr state, HmnrPiggyback message)
    {
        if (state.ClosesCycle(message))
        {
            return true;
        }

        for (int k = 0; message.Clock > state.Index && k < message.Checkpoints.Length; k++)
        {
            if (state.Known(k).SentTo && message.Greater[k] && TTerm.Holds(state, message, k))
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>A checkpoint was taken on the way that m knows of from k.</summary>
internal readonly struct MessageTaken : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) => message.Taken[k];
}

/// <summary>None was taken on the way that m knows of.</summary>
internal readonly struct MessageNotTaken : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) => !message.Taken[k];
}

/// <summary>A checkpoint was taken on the way that the receiver knows of from k.</summary>
internal readonly struct OwnTaken : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) => state.Known(k).Taken;
}

/// <summary>None was taken on the way that the receiver knows of.</summary>
internal readonly struct OwnNotTaken : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) => !state.Known(k).Taken;
}

/// <summary>The receiver's clock was ahead of k's.</summary>
internal readonly struct OwnGreater : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) => state.Known(k).Greater;
}

/// <summary>The receiver's clock was not ahead of k's.</summary>
internal readonly struct OwnNotGreater : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) => !state.Known(k).Greater;
}

/// <summary>m knows of a later checkpoint of k.</summary>
internal readonly struct NewerCheckpoint : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) =>
        message.Checkpoints[k] > state.Known(k).Checkpoint;
}

/// <summary>m knows of as late a checkpoint of k.</summary>
internal readonly struct NotOlderCheckpoint : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) =>
        message.Checkpoints[k] >= state.Known(k).Checkpoint;
}

/// <summary>m knows of the same checkpoint of k.</summary>
internal readonly struct SameCheckpoint : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) =>
        message.Checkpoints[k] == state.Known(k).Checkpoint;
}

/// <summary>m knows of no later checkpoint of k.</summary>
internal readonly struct NotNewerCheckpoint : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) =>
        message.Checkpoints[k] <= state.Known(k).Checkpoint;
}

/// <summary>m knows of an earlier checkpoint of k only.</summary>
internal readonly struct OlderCheckpoint : ITerm
{
    public static bool Holds(in Hmnr state, HmnrPiggyback message, int k) =>
        message.Checkpoints[k] < state.Known(k).Checkpoint;
}

/// <summary>
/// The negative control in the place of FINE (Luo, Manivannan, ICONS 2008 and JPDC 69(2) 2009). Of FINE this is known here
/// from the abstracts of its papers and of arXiv 1702.06167, which proves it wrong: it has the control structures of the
/// fully informed protocol and a condition that forces less often, and lets useless checkpoints happen. Its condition is
/// in none of them, so this is not FINE by its letter: <typeparamref name="TFault"/> gives conditions over the same
/// structures, each true only where that of hmnr is, and not always then. It passes itself off as hmnr, whose promises the checker has to find broken.
/// </summary>
[StructLayout(LayoutKind.Auto)]
internal struct FineLike<TFault> : IProtocol<FineLike<TFault>, HmnrPiggyback>
    where TFault : struct, IFault
{
    private Hmnr _inner;

    public static ProtocolTraits Traits => Hmnr.Traits;

    public readonly long Index => _inner.Index;

    public readonly long PendingLabel => _inner.PendingLabel;

    public static FineLike<TFault> Create(int node, int nodes) => new() { _inner = Hmnr.Create(node, nodes) };

    public bool OnTick() => _inner.OnTick();

    public bool OnSend(int to, out HmnrPiggyback piggyback) => _inner.OnSend(to, out piggyback);

    public ReceiveDecision OnReceive(int from, in HmnrPiggyback piggyback)
    {
        if (_inner.PendingLabel == 0 && !TFault.Forces(_inner, piggyback))
        {
            _inner.Merge(piggyback);
            return ReceiveDecision.Deliver;
        }

        return _inner.OnReceive(from, piggyback);
    }

    public readonly bool OnRaise(long index) => false;

    public bool OnCheckpointDone() => _inner.OnCheckpointDone();

    public void OnCheckpointFailed() => _inner.OnCheckpointFailed();

    public readonly FineLike<TFault> Save() => new() { _inner = _inner.Save() };

    public void OnRollback(in FineLike<TFault> saved, long line) => _inner.OnRollback(saved._inner, line);
}

/// <summary>The same in the place of Lazy-FINE, with a lazy clock beside it: a basic checkpoint keeps the clock unless a
/// message with an equal one was delivered since it was set.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct LazyFineLike : IProtocol<LazyFineLike, LazyFineLike.Stamp>
{
    private FineLike<WithoutCycleTest> _inner;
    private long _clock;
    private bool _equalReceived;
    private bool _sent;

    public static ProtocolTraits Traits => Hmnr.Traits;

    public readonly long Index => _inner.Index;

    public readonly long PendingLabel => _inner.PendingLabel;

    public static LazyFineLike Create(int node, int nodes) =>
        new() { _inner = FineLike<WithoutCycleTest>.Create(node, nodes) };

    public bool OnTick() => _inner.OnTick();

    public bool OnSend(int to, out Stamp piggyback)
    {
        _sent = true;
        bool after = _inner.OnSend(to, out HmnrPiggyback inner);
        piggyback = new Stamp(_clock, inner);
        return after;
    }

    public ReceiveDecision OnReceive(int from, in Stamp piggyback)
    {
        if (PendingLabel == 0 && piggyback.Clock <= _clock)
        {
            // The lazy clock says that nothing is ahead: the inner one is not asked.
            _equalReceived |= piggyback.Clock == _clock;
            FineLike<WithoutCycleTest> before = _inner.Save();
            if (_inner.OnReceive(from, piggyback.Inner) == ReceiveDecision.CheckpointFirst)
            {
                _inner = before;
            }

            return ReceiveDecision.Deliver;
        }

        if (PendingLabel == 0 && !_sent)
        {
            _clock = piggyback.Clock;
            _equalReceived = true;
            FineLike<WithoutCycleTest> before = _inner.Save();
            if (_inner.OnReceive(from, piggyback.Inner) == ReceiveDecision.CheckpointFirst)
            {
                _inner = before;
            }

            return ReceiveDecision.Deliver;
        }

        ReceiveDecision decision = _inner.OnReceive(from, piggyback.Inner);
        if (decision == ReceiveDecision.Deliver)
        {
            _clock = Math.Max(_clock, piggyback.Clock);
            _equalReceived = true;
        }

        return decision;
    }

    public readonly bool OnRaise(long index) => false;

    public bool OnCheckpointDone()
    {
        _clock += _equalReceived ? 1 : 0;
        _equalReceived = false;
        _sent = false;
        return _inner.OnCheckpointDone();
    }

    public void OnCheckpointFailed() => _inner.OnCheckpointFailed();

    public readonly LazyFineLike Save()
    {
        LazyFineLike copy = this;
        copy._inner = _inner.Save();
        if (PendingLabel != 0)
        {
            copy._clock += _equalReceived ? 1 : 0;
            copy._equalReceived = false;
            copy._sent = false;
        }

        return copy;
    }

    public void OnRollback(in LazyFineLike saved, long line) => this = saved.Save();

    internal readonly record struct Stamp(long Clock, HmnrPiggyback Inner);
}

/// <summary>BCS that never forces a checkpoint: every line it claims may have orphans.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct DeafBcs : IProtocol<DeafBcs, long>
{
    private Bcs _inner;

    public static ProtocolTraits Traits => Bcs.Traits;

    public readonly long Index => _inner.Index;

    public readonly long PendingLabel => _inner.PendingLabel;

    public static DeafBcs Create(int node, int nodes) => default;

    public bool OnTick() => _inner.OnTick();

    public readonly bool OnSend(int to, out long piggyback) => _inner.OnSend(to, out piggyback);

    public readonly ReceiveDecision OnReceive(int from, in long piggyback) =>
        _inner.PendingLabel != 0 ? ReceiveDecision.Wait : ReceiveDecision.Deliver;

    public bool OnRaise(long index) => _inner.OnRaise(index);

    public bool OnCheckpointDone() => _inner.OnCheckpointDone();

    public void OnCheckpointFailed() => _inner.OnCheckpointFailed();

    public readonly DeafBcs Save() => new() { _inner = _inner.Save() };

    public void OnRollback(in DeafBcs saved, long line) => _inner.OnRollback(saved._inner, line);
}

/// <summary>BCS-Aftersend that raises its index also where something was sent.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct CarelessAftersend : IProtocol<CarelessAftersend, long>
{
    private BcsAftersend _inner;

    public static ProtocolTraits Traits => BcsAftersend.Traits;

    public readonly long Index => _inner.Index;

    public readonly long PendingLabel => _inner.PendingLabel;

    public static CarelessAftersend Create(int node, int nodes) => default;

    public bool OnTick() => _inner.OnTick();

    // The inner one never hears of a send.
    public readonly bool OnSend(int to, out long piggyback)
    {
        piggyback = _inner.Index;
        return false;
    }

    public ReceiveDecision OnReceive(int from, in long piggyback) => _inner.OnReceive(from, piggyback);

    public bool OnRaise(long index) => _inner.OnRaise(index);

    public bool OnCheckpointDone() => _inner.OnCheckpointDone();

    public void OnCheckpointFailed() => _inner.OnCheckpointFailed();

    public readonly CarelessAftersend Save() => new() { _inner = _inner.Save() };

    public void OnRollback(in CarelessAftersend saved, long line) => _inner.OnRollback(saved._inner, line);
}
