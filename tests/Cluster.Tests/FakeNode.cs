using Grpc.Core;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Cluster.Tests;

/// <summary>A node that keeps to the rules of node_control.proto for recoveries, with its record on an imagined disk; it can
/// be cut off at any call.</summary>
internal sealed class FakeNode(string name) : INodeClient
{
    private RecoveryRecord? _record;

    public string Name => name;

    internal long Index { get; set; }

    internal long Durable { get; set; }

    internal int Incarnation { get; set; }

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

    internal RecoveryRecord? Record => _record;

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
            Recovery = Told(),
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
        bool same = _record is { } r && r.Line == request.Line && r.Incarnation == request.Incarnation
            && r.LostNode == request.LostNode;
        if (!same && (int)request.Incarnation <= Incarnation)
        {
            throw StatusException.Because(StatusCode.InvalidArgument, "INCARNATION", $"{name} is at {Incarnation} already.");
        }

        bool back = Index >= (long)request.Line;
        var response = new RecoverResponse { Action = back ? RecoverAction.RollBack : RecoverAction.Checkpoint };
        if (request.DryRun || (same && _record!.Done))
        {
            return response;
        }

        Cut?.Invoke("before");
        _record = new RecoveryRecord { Line = request.Line, Incarnation = request.Incarnation, LostNode = request.LostNode };
        Cut?.Invoke("recorded");
        Incarnation = (int)request.Incarnation;
        foreach ((string peer, long heard) in Heard.ToArray())
        {
            Heard[peer] = Math.Min(heard, (long)request.Line);
        }

        if (back)
        {
            WentBackTo.Add((long)request.Line);
        }

        if (request.LostNode.Length > 0)
        {
            Adopted.Add(request.LostNode);
        }

        if (request.DepartedNode.Length > 0)
        {
            Departed.Add((request.DepartedNode, request.DepartedTo));
        }

        Index = (long)request.Line;
        Durable = Index;
        Awaits = false;
        _record.Done = true;
        Cut?.Invoke("done");
        return response;
    }

    private RecoveryRecord? Told()
    {
        RecoveryRecord? record = _record?.Clone();
        if (record is { LostNode.Length: > 0 })
        {
            record.Settled = Settled;
        }

        return record;
    }

    private void Require()
    {
        if (Dead)
        {
            throw new StatusException(StatusCode.Unavailable, "there is no connection");
        }
    }
}
