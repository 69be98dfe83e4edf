using XenTwoLevelCkpt.Protocol;
using XenTwoLevelCkpt.Protocol.Family;

namespace XenTwoLevelCkpt.ClusterSimulation;

/// <summary>One of the protocols that daemons run, chosen for the thread: a run is one thread's.</summary>
internal struct AnyProtocol : IScalarProtocol<AnyProtocol>
{
    [ThreadStatic]
    private static Kind _chosen;

    private Bcs _bcs;
    private BcsAftersend _aftersend;
    private ManivannanSinghal _skipping;
    private LazyBcs _lazy;

    private enum Kind
    {
        Bcs,
        Aftersend,
        Skipping,
        Lazy,
    }

    public static ProtocolTraits Traits => _chosen switch
    {
        Kind.Aftersend => BcsAftersend.Traits,
        Kind.Skipping => ManivannanSinghal.Traits,
        Kind.Lazy => LazyBcs.Traits,
        _ => Bcs.Traits,
    };

    public readonly long Index => _chosen switch
    {
        Kind.Aftersend => _aftersend.Index,
        Kind.Skipping => _skipping.Index,
        Kind.Lazy => _lazy.Index,
        _ => _bcs.Index,
    };

    public readonly long PendingLabel => _chosen switch
    {
        Kind.Aftersend => _aftersend.PendingLabel,
        Kind.Skipping => _skipping.PendingLabel,
        Kind.Lazy => _lazy.PendingLabel,
        _ => _bcs.PendingLabel,
    };

    public readonly ScalarState State => _chosen switch
    {
        Kind.Aftersend => _aftersend.State,
        Kind.Skipping => _skipping.State,
        Kind.Lazy => _lazy.State,
        _ => _bcs.State,
    };

    /// <summary>Chooses for this thread: half of the seeds are of BCS.</summary>
    internal static void Choose(int seed) => _chosen = ((uint)seed % 8) switch
    {
        4 or 5 => Kind.Aftersend,
        6 => Kind.Skipping,
        7 => Kind.Lazy,
        _ => Kind.Bcs,
    };

    public static AnyProtocol Create(int node, int nodes) => default;

    public static AnyProtocol From(ScalarState state) => _chosen switch
    {
        Kind.Aftersend => new() { _aftersend = BcsAftersend.From(state) },
        Kind.Skipping => new() { _skipping = ManivannanSinghal.From(state) },
        Kind.Lazy => new() { _lazy = LazyBcs.From(state) },
        _ => new() { _bcs = Bcs.From(state) },
    };

    public bool OnTick() => _chosen switch
    {
        Kind.Aftersend => _aftersend.OnTick(),
        Kind.Skipping => _skipping.OnTick(),
        Kind.Lazy => _lazy.OnTick(),
        _ => _bcs.OnTick(),
    };

    public bool OnSend(int to, out long piggyback) => _chosen switch
    {
        Kind.Aftersend => _aftersend.OnSend(to, out piggyback),
        Kind.Skipping => _skipping.OnSend(to, out piggyback),
        Kind.Lazy => _lazy.OnSend(to, out piggyback),
        _ => _bcs.OnSend(to, out piggyback),
    };

    public ReceiveDecision OnReceive(int from, in long piggyback) => _chosen switch
    {
        Kind.Aftersend => _aftersend.OnReceive(from, piggyback),
        Kind.Skipping => _skipping.OnReceive(from, piggyback),
        Kind.Lazy => _lazy.OnReceive(from, piggyback),
        _ => _bcs.OnReceive(from, piggyback),
    };

    public bool OnRaise(long index) => _chosen switch
    {
        Kind.Aftersend => _aftersend.OnRaise(index),
        Kind.Skipping => _skipping.OnRaise(index),
        Kind.Lazy => _lazy.OnRaise(index),
        _ => _bcs.OnRaise(index),
    };

    public bool OnCheckpointDone() => _chosen switch
    {
        Kind.Aftersend => _aftersend.OnCheckpointDone(),
        Kind.Skipping => _skipping.OnCheckpointDone(),
        Kind.Lazy => _lazy.OnCheckpointDone(),
        _ => _bcs.OnCheckpointDone(),
    };

    public void OnCheckpointFailed()
    {
        switch (_chosen)
        {
            case Kind.Aftersend:
                _aftersend.OnCheckpointFailed();
                break;
            case Kind.Skipping:
                _skipping.OnCheckpointFailed();
                break;
            case Kind.Lazy:
                _lazy.OnCheckpointFailed();
                break;
            default:
                _bcs.OnCheckpointFailed();
                break;
        }
    }

    public readonly AnyProtocol Save() => _chosen switch
    {
        Kind.Aftersend => new() { _aftersend = _aftersend.Save() },
        Kind.Skipping => new() { _skipping = _skipping.Save() },
        Kind.Lazy => new() { _lazy = _lazy.Save() },
        _ => new() { _bcs = _bcs.Save() },
    };

    public void OnRollback(in AnyProtocol saved, long line)
    {
        switch (_chosen)
        {
            case Kind.Aftersend:
                _aftersend.OnRollback(saved._aftersend, line);
                break;
            case Kind.Skipping:
                _skipping.OnRollback(saved._skipping, line);
                break;
            case Kind.Lazy:
                _lazy.OnRollback(saved._lazy, line);
                break;
            default:
                _bcs.OnRollback(saved._bcs, line);
                break;
        }
    }
}
