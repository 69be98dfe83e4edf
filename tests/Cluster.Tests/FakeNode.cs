using Grpc.Core;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Cluster.Tests;

/// <summary>A node that keeps to the rules of node_control.proto for recoveries, with its record on an imagined disk; it can
/// be cut off at any call.</summary>
internal sealed class FakeNode(string name) : INodeClient
{
    public string Name => name;

    internal long Index { get; set; }

    internal long Durable { get; set; }

    internal int Incarnation => Records.Incarnation;

    /// <summary>What it has on its imagined disk.</summary>
    internal RecoveryRecords Records { get; set; } = new(0, null, null, null);

    /// <summary>What it says that it would restore, beside what it says of steps.</summary>
    internal List<RestoredDomain> Restores { get; } = [];

    /// <summary>Domains that it has and keeps.</summary>
    internal List<RestoredDomain> Stays { get; } = [];

    /// <summary>Why it cannot do its part of any recovery; null where it can.</summary>
    internal string? CannotDo { get; set; }

    internal uint Domains { get; set; } = 2;

    internal bool Dead { get; set; }

    internal bool Awaits { get; set; }

    /// <summary>Whether its record says that what it adopted is its own in every line.</summary>
    internal bool Settled { get; set; }

    /// <summary>How often it still says that it starts; it knows nothing of what it awaits until then.</summary>
    internal int Starts { get; set; }

    internal Dictionary<string, long> Heard { get; } = [];

    internal List<long> WentBackTo { get; } = [];

    internal List<string> Adopted { get; } = [];

    internal List<(string Node, string To)> Departed { get; } = [];

    /// <summary>Called before and after a part is done; throws to cut the call off there.</summary>
    internal Action<string>? Cut { get; set; }

    public Task<Node> GetNodeAsync(CancellationToken cancellationToken)
    {
        Require();
        var node = new Node
        {
            Name = name,
            Sn = (ulong)Index,
            DurableSn = (ulong)Durable,
            Incarnation = (ulong)Incarnation,
            Domains = Domains,
            AwaitsRecovery = Awaits && Starts == 0,
            Recovery = Told(Records.Begun ?? Records.Last, Records.Begun is null, Settled),
            Promise = Told(Records.Promised, done: false, settled: false),
            State = Starts > 0 ? NodeState.Starting : NodeState.Ready,
        };
        Starts = Math.Max(0, Starts - 1);
        node.Peers.AddRange(Heard.Select(h => new Peer { Name = h.Key, DurableSn = (ulong)h.Value, LastHeard = new() }));
        return Task.FromResult(node);
    }

    public Task<IReadOnlyList<Checkpoint>> ListCheckpointsAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IReadOnlyList<Checkpoint>>([]);

    public Task<CollectGarbageResponse> CollectGarbageAsync(CollectGarbageRequest request, CancellationToken cancellationToken) =>
        Task.FromResult(new CollectGarbageResponse());

    public async Task<RecoverResponse> RecoverAsync(RecoverRequest request, CancellationToken cancellationToken)
    {
        await Task.Yield();
        Require();
        var order = RecoveryOrder.Of(
            (long)request.Line, (int)request.Incarnation, request.Moves.Select(m => new DomainMove(m.Node, m.To)), request.DestroyNewer);
        OrderVerdict verdict = request.Phase == RecoverPhase.CarryOut
            ? RecoveryPromises.OnCarryOut(Records, order, out string? why)
            : RecoveryPromises.OnPrepare(Records, order, request.Phase == RecoverPhase.Prepare ? (int)request.After : Records.Newest, out why);
        if (verdict == OrderVerdict.Refuse)
        {
            throw StatusException.Because(StatusCode.FailedPrecondition, "PROMISE", why!);
        }

        bool back = ClusterRecoveryPlanner.StepOf(Index, Awaits, order.Line) == RecoveryStep.RollBack;
        var response = new RecoverResponse
        {
            Action = back ? RecoverAction.RollBack : RecoverAction.Checkpoint,
            Domains = { Restores },
            Staying = { Stays },
        };
        if (request.Phase == RecoverPhase.DryRun || verdict == OrderVerdict.Done)
        {
            return response;
        }

        if (CannotDo is { } problem)
        {
            throw new StatusException(StatusCode.DataLoss, problem);
        }

        if (request.Phase == RecoverPhase.Prepare)
        {
            Cut?.Invoke("preparing");
            Records = verdict == OrderVerdict.Promise ? Records with { Promised = order } : Records;
            Cut?.Invoke("promised");
            return response;
        }

        Cut?.Invoke("before");
        Records = Records with { Promised = null, Begun = order };
        Cut?.Invoke("recorded");
        foreach ((string peer, long heard) in Heard.ToArray())
        {
            Heard[peer] = Math.Min(heard, order.Line);
        }

        if (back)
        {
            WentBackTo.Add(order.Line);
        }

        Adopted.AddRange(order.Moves.Where(m => m.To == name).Select(m => m.Node));
        Departed.AddRange(order.Moves.Where(m => m.To != name).Select(m => (m.Node, m.To)));
        Index = order.Line;
        Durable = Index;
        Awaits = false;
        Records = new RecoveryRecords(order.Incarnation, null, null, order);
        Cut?.Invoke("done");
        return response;
    }

    private static RecoveryRecord? Told(RecoveryOrder? order, bool done, bool settled) => order is null ? null : new RecoveryRecord
    {
        Line = (ulong)order.Line,
        Incarnation = (ulong)order.Incarnation,
        Moves = { order.Moves.Select(m => new Move { Node = m.Node, To = m.To }) },
        Done = done,
        Settled = { settled ? order.Lost() : [] },
        DestroyNewer = order.DestroysNewer,
    };

    private void Require()
    {
        if (Dead)
        {
            throw new StatusException(StatusCode.Unavailable, "there is no connection");
        }
    }
}
