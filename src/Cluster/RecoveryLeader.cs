using System.Diagnostics;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.V1;

namespace XenTwoLevelCkpt.Cluster;

/// <summary>What an operator wants of a recovery.</summary>
/// <param name="Lost">The node that is lost; null where all go back.</param>
/// <param name="To">The node that brings its domains up; null to choose that with the fewest domains.</param>
/// <param name="At">The line k; null for the latest one possible.</param>
public sealed record RecoveryWish(string? Lost, string? To, long? At);

/// <summary>A recovery that can be carried out.</summary>
/// <param name="Line">k.</param>
/// <param name="Incarnation">The incarnation that begins.</param>
/// <param name="Lost">The lost node; null for none.</param>
/// <param name="To">The node that brings its domains up; null for none.</param>
/// <param name="Resumed">True where it is the rest of one that was interrupted.</param>
/// <param name="Done">True where it is behind the cluster already: nothing is left to do.</param>
/// <param name="Steps">By node what it does, or has done.</param>
public sealed record ClusterRecovery(
    long Line, int Incarnation, string? Lost, string? To, bool Resumed, bool Done, IReadOnlyList<RecoveryPart> Steps)
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
/// Leads a cluster back to a consistent line (docs/recovery.md). It keeps nothing itself: the nodes have on their disks which
/// recovery they take part in, so that one which was interrupted is gone on with by whoever asks next.
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
        RequireNames(wish, view);
        int incarnation = view.Answering.Max(n => Math.Max((int)n.Incarnation, (int)(n.Recovery?.Incarnation ?? 0)));
        RecoveryRecord? latest = Latest(view, incarnation);
        bool complete = view.Answering.All(n => (int)n.Incarnation == incarnation && n.Recovery?.Done != false);
        ClusterRecovery plan;
        if (latest is not null && !complete)
        {
            plan = wish.Lost is not null && latest.LostNode.Length == 0
                ? Instead(latest, view, wish, incarnation)
                : Rest(latest, view, wish);
        }
        else if (latest is not null && wish.Lost is { } lost && latest.LostNode == lost && wish.At is null
            && (latest.Settled || Failed(view) is null))
        {
            if (Failed(view) is not null)
            {
                // What is in the lost node's store is the past of domains that have gone on since.
                throw new ClusterRecoveryException(
                    $"The domains of {lost} have been brought up on another node, whose own they are now, and a node has "
                    + $"failed since. Take {lost} out of the nodes that this command is told of, and leave --lost out.");
            }

            // What this wish asks for has been done.
            return Plan(latest, view, wish, resumed: false) with { Done = true };
        }
        else
        {
            RecoveryRecord? before = latest is { LostNode.Length: > 0 } ? latest : null;
            long line = Line(wish, view, before);
            string? to = wish.Lost is null ? null : wish.To ?? Emptiest(view);
            if (before is { Settled: false })
            {
                to = Again(before, view, wish);
                line = Math.Min(line, (long)before.Line);
            }

            plan = new ClusterRecovery(line, incarnation + 1, wish.Lost, to, Resumed: false, Done: false, [])
            {
                IsNeeded = wish.Lost is not null || Failed(view) is not null,
            };
        }

        return plan with { Steps = await AskPartsAsync(plan, cancellationToken).ConfigureAwait(false) };
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

    /// <summary>Carries a plan out. Where it fails or is given up, the rest is done by planning and carrying out again.
    /// </summary>
    /// <param name="plan">The plan.</param>
    /// <param name="done">Learns of each node whose part is done; may be null.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="ClusterRecoveryException">A node could not do its part; the others have done theirs.</exception>
    public async Task<ClusterRecovery> CarryOutAsync(
        ClusterRecovery plan, Action<RecoveryPart>? done, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plan);
        if (plan.Done)
        {
            return plan;
        }

        var parts = new List<Task<RecoveryPart>>();
        if (plan.To is { } to)
        {
            // Its record is the only one that tells of the lost node: without it, who goes on would not know of that.
            INodeClient adopter = nodes.First(n => n.Name == to);
            parts.Add(PartAsync(adopter, plan, done, dryRun: false, cancellationToken));
            await WaitForRecordAsync(adopter, plan.Incarnation, parts[0], cancellationToken).ConfigureAwait(false);
            if (parts[0].IsFaulted || parts[0].IsCanceled)
            {
                _ = await parts[0].ConfigureAwait(false);
            }
        }

        parts.AddRange(Participants(plan).Where(n => n.Name != plan.To)
            .Select(n => PartAsync(n, plan, done, dryRun: false, cancellationToken)));
        RecoveryPart[] all = await Task.WhenAll(parts).ConfigureAwait(false);
        return plan with { Steps = [.. all.OrderBy(p => p.Node, StringComparer.Ordinal)] };
    }

    private static async Task WaitForRecordAsync(
        INodeClient node, int incarnation, Task part, CancellationToken cancellationToken)
    {
        while (!part.IsCompleted)
        {
            try
            {
                Node now = await node.GetNodeAsync(cancellationToken).ConfigureAwait(false);
                if ((int)(now.Recovery?.Incarnation ?? 0) >= incarnation)
                {
                    return;
                }
            }
            catch (StatusException)
            {
                // The part itself tells what is wrong.
            }

            await Task.WhenAny(part, Task.Delay(Look, cancellationToken)).ConfigureAwait(false);
        }
    }

    private static void RequireNames(RecoveryWish wish, ClusterView view)
    {
        foreach (string name in new[] { wish.Lost, wish.To }.OfType<string>())
        {
            if (view.Nodes.All(n => n.Name != name))
            {
                throw new ClusterRecoveryException($"There is no node '{name}' in the cluster.");
            }
        }

        if (wish.To is not null && (wish.Lost is null || wish.Lost == wish.To))
        {
            throw new ClusterRecoveryException("--to names another node, for the domains of the one that --lost names.");
        }

        foreach (NodeView node in view.Nodes)
        {
            if (node.Name == wish.Lost && node.Node is not null)
            {
                throw new ClusterRecoveryException(
                    $"Node {node.Name} answers: its domains would run twice. Stop its daemon and its domains first, or leave --lost out.");
            }

            if (node.Name != wish.Lost && node.Problem is { } problem)
            {
                throw new ClusterRecoveryException(
                    $"Node {node.Name} does not answer ({problem}). Start its daemon, or name it with --lost.");
            }
        }
    }

    // The record of the newest recovery; of several nodes' that of the one which brings up a lost node.
    private static RecoveryRecord? Latest(ClusterView view, int incarnation) =>
        view.Answering.Select(n => n.Recovery).OfType<RecoveryRecord>()
            .Where(r => (int)r.Incarnation == incarnation)
            .OrderByDescending(r => r.LostNode.Length > 0)
            .FirstOrDefault();

    private static ClusterRecovery Rest(RecoveryRecord latest, ClusterView view, RecoveryWish wish)
    {
        if ((wish.At is { } at && at != (long)latest.Line) || (wish.Lost ?? "") != latest.LostNode)
        {
            string lost = latest.LostNode.Length > 0 ? $" --lost {latest.LostNode}" : "";
            throw new ClusterRecoveryException(
                $"A recovery to line {latest.Line} was interrupted. End it first: 'xtlctl cluster recover{lost}'.");
        }

        return Plan(latest, view, wish, resumed: true);
    }

    // A node was lost in the middle of a recovery, or since: that one cannot be ended without it. Those that have done their part go
    // back once more, to the same line or a lower one.
    private static ClusterRecovery Instead(RecoveryRecord latest, ClusterView view, RecoveryWish wish, int incarnation)
    {
        long line = Math.Min(Line(wish, view, null), (long)latest.Line);
        return new ClusterRecovery(
            line, incarnation + 1, wish.Lost, wish.To ?? Emptiest(view), Resumed: false, Done: false, []);
    }

    private static ClusterRecovery Plan(RecoveryRecord latest, ClusterView view, RecoveryWish wish, bool resumed) => new(
        (long)latest.Line, (int)latest.Incarnation, wish.Lost,
        wish.Lost is null ? null : view.Answering.First(n => n.Recovery?.LostNode == wish.Lost).Name, resumed, Done: false, []);

    // The domains of a lost node came to another one, and not every line that is possible has them there: they come from the lost
    // node's checkpoint once more, to the same place.
    private static string Again(RecoveryRecord before, ClusterView view, RecoveryWish wish)
    {
        string host = view.Answering.FirstOrDefault(n => n.Recovery?.LostNode == before.LostNode)?.Name
            ?? throw new ClusterRecoveryException($"The node that has the domains of {before.LostNode} does not answer.");
        return wish.Lost == before.LostNode && (wish.To ?? host) == host
            ? host
            : throw new ClusterRecoveryException(
                $"The domains of {before.LostNode} came to {host} with the recovery to line {before.Line}, and not every "
                + $"later line has them there: '--lost {before.LostNode} --to {host}', with {before.LostNode} among the nodes that this command is told of.");
    }

    private static long Line(RecoveryWish wish, ClusterView view, RecoveryRecord? before)
    {
        long latest = view.SafeLine ?? long.MaxValue;
        if (wish.Lost is { } lost)
        {
            // What others had heard of the lost node before the last recovery, that one has lowered to its line.
            latest = (before?.LostNode == lost ? (long)before.Line : view.DurableIndex(lost)) ?? (wish.At is not null
                ? long.MaxValue
                : throw new ClusterRecoveryException(
                    $"No node has heard of a checkpoint of {lost}. Name the line with --at; 'xtlctl checkpoints' on its store tells its indexes."));
        }

        latest = wish.Lost is null ? Failed(view) ?? latest : Math.Min(latest, Failed(view) ?? long.MaxValue);
        if (wish.At is { } at && (at < 0 || at > latest))
        {
            throw new ClusterRecoveryException($"--at is 0 to {latest}, the latest line that can be gone back to.");
        }

        return wish.At ?? latest;
    }

    // The least durable index of nodes that have lost what was on its way: nobody has to go back further for them.
    private static long? Failed(ClusterView view) =>
        view.Answering.Where(n => n.AwaitsRecovery).Select(n => (long?)n.DurableSn).Min();

    private static string Emptiest(ClusterView view) =>
        view.Answering.OrderBy(n => n.Domains).ThenBy(n => n.Name, StringComparer.Ordinal).First().Name;

    private IEnumerable<INodeClient> Participants(ClusterRecovery plan) => nodes.Where(n => n.Name != plan.Lost);

    private async Task<IReadOnlyList<RecoveryPart>> AskPartsAsync(ClusterRecovery plan, CancellationToken cancellationToken) =>
        await Task.WhenAll(Participants(plan).Select(n => PartAsync(n, plan, null, dryRun: true, cancellationToken)))
            .ConfigureAwait(false);

    private static async Task<RecoveryPart> PartAsync(
        INodeClient node, ClusterRecovery plan, Action<RecoveryPart>? done, bool dryRun, CancellationToken cancellationToken)
    {
        try
        {
            var request = new RecoverRequest
            {
                Line = (ulong)plan.Line,
                Incarnation = (ulong)plan.Incarnation,
                LostNode = node.Name == plan.To ? plan.Lost : "",
                DepartedNode = node.Name == plan.To ? "" : plan.Lost ?? "",
                DepartedTo = node.Name == plan.To ? "" : plan.To ?? "",
                DryRun = dryRun,
            };
            var part = new RecoveryPart(node.Name, await node.RecoverAsync(request, cancellationToken).ConfigureAwait(false));
            done?.Invoke(part);
            return part;
        }
        catch (StatusException e)
        {
            throw new ClusterRecoveryException(
                dryRun
                    ? $"Node {node.Name} cannot take part: {e.Message}"
                    : $"Node {node.Name} has not done its part: {e.Message} Run the command again when that is mended.",
                e);
        }
    }
}
