using System.Diagnostics;
using XenTwoLevelCkpt.Protocol.Recovery;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Cluster;

/// <summary>A recovery that can be carried out.</summary>
/// <param name="Order">What all nodes do.</param>
/// <param name="After">The newest incarnation that has begun on any node.</param>
/// <param name="Resumed">True where it is the rest of one that was interrupted.</param>
/// <param name="Done">True where it is behind the cluster already: nothing is left to do.</param>
/// <param name="Steps">By node what it does, or has done.</param>
public sealed record ClusterRecovery(
    RecoveryOrder Order, int After, bool Resumed, bool Done, IReadOnlyList<RecoveryPart> Steps)
{
    /// <summary>True where a node has failed, or is said to be lost, or a recovery has begun: otherwise nothing is wrong, and only an
    /// operator can want that all guests go back.</summary>
    public bool IsNeeded { get; init; } = true;
}

/// <summary>A node's part of a recovery.</summary>
/// <param name="Node">The node.</param>
/// <param name="Response">What it does, or has done.</param>
public sealed record RecoveryPart(string Node, RecoverResponse Response);

/// <summary>A recovery is not possible as it is wanted. The message says why, and what to do.</summary>
public sealed class ClusterRecoveryException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">Why, and what to do.</param>
    /// <param name="inner">The cause, if any.</param>
    public ClusterRecoveryException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <summary>
/// Leads a cluster back to a consistent line (docs/recovery.md): asks all nodes how they are, has
/// <see cref="ClusterRecoveryPlanner"/> decide, has all nodes promise the order, and then all carry it out. It keeps nothing itself:
/// the nodes have on their disks what they have promised and begun, so that whoever asks next ends one that was interrupted.
/// </summary>
/// <param name="nodes">All nodes of the cluster.</param>
public sealed class RecoveryLeader(IReadOnlyList<INodeClient> nodes)
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    /// <summary>How long is waited for nodes whose daemons are starting. 30 s where it is not set.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Finds out what is to be done; changes nothing.</summary>
    /// <param name="wish">What is wanted.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="ClusterRecoveryException">It is not possible.</exception>
    public async Task<ClusterRecovery> PlanAsync(RecoveryWish wish, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(wish);
        ClusterView view = await StartedAsync(cancellationToken).ConfigureAwait(false);
        ClusterRecovery plan = ClusterRecoveryPlanner.Plan(view.State, wish) switch
        {
            RecoveryDecision.Lead lead => new ClusterRecovery(lead.Order, lead.After, lead.Resumed, Done: false, [])
            {
                IsNeeded = lead.IsNeeded,
            },
            RecoveryDecision.Done done => new ClusterRecovery(done.Order, done.Order.Incarnation, Resumed: false, Done: true, []),
            RecoveryDecision.Refused refused => throw new ClusterRecoveryException(refused.Why),
            _ => throw new InvalidOperationException("There is no other decision."),
        };
        RecoveryPart[] steps = await AskAllAsync(plan, RecoverPhase.DryRun, null, cancellationToken).ConfigureAwait(false);
        RequireOnce(plan, steps);
        return plan with { Steps = steps };
    }

    // Of one that has begun, some may have done their part.
    private static void RequireOnce(ClusterRecovery plan, IEnumerable<RecoveryPart> steps)
    {
        if (!plan.Resumed && !plan.Done
            && ClusterRecoveryPlanner.Twice([.. steps.Select(s => new NodePart(s.Node, Names(s.Response.Domains), Names(s.Response.Staying)))]) is { } problem)
        {
            throw new ClusterRecoveryException(problem);
        }

        static DomainName[] Names(IEnumerable<RestoredDomain> domains) => [.. domains.Select(d => new DomainName(Guid.Parse(d.Uuid), d.Name))];
    }

    // A node does not know while it starts whether it awaits a recovery.
    private async Task<ClusterView> StartedAsync(CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            ClusterView view = await ClusterView.AskAsync(nodes, cancellationToken).ConfigureAwait(false);
            if (view.Answering.FirstOrDefault(n => n.State == NodeState.Starting) is not { } starting)
            {
                return view;
            }

            if (Stopwatch.GetElapsedTime(start) >= Patience)
            {
                throw new ClusterRecoveryException(
                    $"The daemon of node {starting.Name} is still starting; its log tells what it waits for. Run the command again when it serves.");
            }

            await Task.Delay(Look, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Carries a plan out: all nodes promise it, and then all do their parts. Where it fails or is given up, the rest is done
    /// by planning and carrying out again.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="done">Learns of each node whose part is done; may be null.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="ClusterRecoveryException">A node cannot take part, and nothing has changed; or a node could not do its
    /// part, and the others have done theirs.</exception>
    public async Task<ClusterRecovery> CarryOutAsync(
        ClusterRecovery plan, Action<RecoveryPart>? done, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plan);
        if (plan.Done)
        {
            return plan;
        }

        RequireOnce(plan, await AskAllAsync(plan, RecoverPhase.Prepare, null, cancellationToken).ConfigureAwait(false));
        RecoveryPart[] all = await AskAllAsync(plan, RecoverPhase.CarryOut, done, cancellationToken).ConfigureAwait(false);
        return plan with { Steps = [.. all.OrderBy(p => p.Node, StringComparer.Ordinal)] };
    }

    private Task<RecoveryPart[]> AskAllAsync(
        ClusterRecovery plan, RecoverPhase phase, Action<RecoveryPart>? done, CancellationToken cancellationToken) =>
        Task.WhenAll(nodes.Where(n => !plan.Order.Lost().Contains(n.Name))
            .Select(n => AskAsync(n, plan, phase, done, cancellationToken)));

    private static async Task<RecoveryPart> AskAsync(
        INodeClient node, ClusterRecovery plan, RecoverPhase phase, Action<RecoveryPart>? done, CancellationToken cancellationToken)
    {
        try
        {
            var request = new RecoverRequest
            {
                Line = (ulong)plan.Order.Line,
                Incarnation = (ulong)plan.Order.Incarnation,
                Moves = { plan.Order.Moves.Select(m => new Move { Node = m.Node, To = m.To }) },
                Phase = phase,
                After = (ulong)plan.After,
                DestroyNewer = plan.Order.DestroysNewer,
            };
            var part = new RecoveryPart(node.Name, await node.RecoverAsync(request, cancellationToken).ConfigureAwait(false));
            done?.Invoke(part);
            return part;
        }
        catch (StatusException e)
        {
            throw new ClusterRecoveryException(
                phase == RecoverPhase.CarryOut
                    ? $"Node {node.Name} has not done its part: {e.Message} Run the command again when that is mended."
                    : $"Node {node.Name} cannot take part: {e.Message}" + (phase == RecoverPhase.Prepare ? " Nothing has changed." : ""),
                e);
        }
    }
}
