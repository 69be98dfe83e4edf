using System.Globalization;

namespace XenTwoLevelCkpt.Protocol.Recovery;

/// <summary>
/// Plans the recovery of a cluster from what its nodes have on disk and what an operator wants. A function: whoever leads next,
/// on whichever host, comes to the same order where one has begun, so that a recovery which was interrupted anywhere is ended, or
/// replaced by one that can be.
/// </summary>
/// <remarks>
/// The line is the greatest that the failure rule allows (Manivannan and Singhal 1996): the least over the failed nodes of their
/// latest durable index. A recovery that begun and cannot be ended, as a node that takes part was lost, or failed below its line,
/// is replaced by one with a higher incarnation, with its line or a lower one and with its moves: what it has brought up somewhere
/// is never brought up in a second place.
/// </remarks>
public static class ClusterRecoveryPlanner
{
    /// <summary>Decides.</summary>
    /// <param name="cluster">The nodes as they were found.</param>
    /// <param name="wish">What is wanted.</param>
    public static RecoveryDecision Plan(ClusterState cluster, RecoveryWish wish)
    {
        ArgumentNullException.ThrowIfNull(cluster);
        ArgumentNullException.ThrowIfNull(wish);
        if ((ProblemOfNames(cluster, wish) ?? ProblemOfAnswers(cluster, wish)) is { } problem)
        {
            return new RecoveryDecision.Refused(problem);
        }

        MemberState[] members = [.. cluster.Answering];
        int newest = members.Max(m => m.Records.Newest);
        RecoveryOrder? current = members.Select(m => m.Records.Begun ?? m.Records.Last)
            .FirstOrDefault(order => order?.Incarnation == newest);
        return current is not null && !members.All(m => m.Records.Begun is null && m.Records.Incarnation == newest)
            ? OfInterrupted(cluster, wish, current, newest)
            : OfWhole(cluster, wish, current, newest);
    }

    /// <summary>What a node does for a line, by the failure rule: one that has reached it, or has lost its present state, goes
    /// back; another one takes a checkpoint with the line's index and goes on.</summary>
    /// <param name="index">Its index; of no meaning where it awaits a recovery.</param>
    /// <param name="awaitsRecovery">True where its present state is gone.</param>
    /// <param name="line">k.</param>
    public static RecoveryStep StepOf(long index, bool awaitsRecovery, long line) =>
        awaitsRecovery || index >= line ? RecoveryStep.RollBack : RecoveryStep.Checkpoint;

    /// <summary>Says what would run twice: a domain that moved from one host to another since the line is in the checkpoint of the
    /// one, and on the other.</summary>
    /// <param name="parts">By node what it would do.</param>
    /// <returns>Sentences; null where nothing would.</returns>
    public static string? Twice(IReadOnlyCollection<NodePart> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        var homes = new Dictionary<Guid, string>();
        var twice = new List<string>();
        foreach (NodePart part in parts)
        {
            foreach (DomainName domain in part.Restores)
            {
                if (!homes.TryAdd(domain.Uuid, part.Node))
                {
                    twice.Add($"Domain {domain.Name} is in the checkpoints of {homes[domain.Uuid]} and of {part.Node}.");
                }
            }
        }

        twice.AddRange(parts.SelectMany(part => part.Keeps
            .Where(domain => homes.TryGetValue(domain.Uuid, out string? home) && home != part.Node)
            .Select(domain => $"Domain {domain.Name} is in the checkpoint of {homes[domain.Uuid]}, and on {part.Node} now.")));
        return twice.Count == 0 ? null
            : string.Join(' ', twice) + " It moved after this line, and would run twice: name a later line with --at, or destroy it where it is now.";
    }

    /// <summary>What an operator is to do next, a sentence for each thing; empty where nothing is to be done.</summary>
    /// <param name="cluster">The nodes as they were found.</param>
    public static IReadOnlyList<string> Advice(ClusterState cluster)
    {
        ArgumentNullException.ThrowIfNull(cluster);
        var advice = new List<string>();
        MemberState[] members = [.. cluster.Answering];
        int newest = members.Select(m => m.Records.Newest).DefaultIfEmpty().Max();
        RecoveryOrder? current = members.Select(m => m.Records.Begun ?? m.Records.Last).FirstOrDefault(o => o?.Incarnation == newest);
        foreach (MemberState gone in cluster.Members.Where(m => m.Problem is not null))
        {
            advice.Add(
                current?.Moves.FirstOrDefault(m => m.Node == gone.Name) is not { } move
                    ? $"{gone.Name} does not answer: start its daemon; where its host is off for good, 'xtlctl cluster recover --lost {gone.Name}'."
                    : IsSettled(cluster, move) ? $"The domains of {gone.Name} are on {move.To} for good: take {gone.Name} out of the nodes that this command is told of."
                    : $"The domains of {gone.Name} are on {move.To}, and not every line has them there yet: keep {gone.Name} in the file until all nodes have taken checkpoints.");
        }

        if (current is not null && members.Any(m => m.Records.Begun is not null || m.Records.Incarnation != newest))
        {
            advice.Add($"A recovery was interrupted ({current}): end it with 'xtlctl cluster recover{Naming(current.Lost())}'.");
        }
        else if (members.Any(m => m.AwaitsRecovery))
        {
            advice.Add(
                $"{string.Join(", ", members.Where(m => m.AwaitsRecovery).Select(m => m.Name))} lost what was on its way, and waits: 'xtlctl cluster recover"
                + $"{Naming(cluster.Members.Where(m => m.Problem is not null).Select(m => m.Name))}'.");
        }

        return advice;
    }

    private static string? ProblemOfNames(ClusterState cluster, RecoveryWish wish)
    {
        foreach (string name in wish.Lost.Append(wish.To).OfType<string>())
        {
            if (cluster.Find(name) is null)
            {
                return $"There is no node '{name}' in the cluster.";
            }
        }

        return wish.Lost.Distinct().Count() != wish.Lost.Count ? "--lost names a node twice."
            : wish.To is not null && (wish.Lost.Count == 0 || wish.Lost.Contains(wish.To))
                ? "--to names another node, for the domains of those that --lost names."
            : null;
    }

    private static string? ProblemOfAnswers(ClusterState cluster, RecoveryWish wish)
    {
        foreach (MemberState member in cluster.Members)
        {
            if (wish.Lost.Contains(member.Name) && member.Problem is null)
            {
                return $"Node {member.Name} answers: its domains would run twice. Stop its daemon and its domains first, or leave it out of --lost.";
            }

            if (!wish.Lost.Contains(member.Name) && member.Problem is { } problem)
            {
                return $"Node {member.Name} does not answer ({problem}). Start its daemon, or name it with --lost.";
            }
        }

        return cluster.Answering.Any() ? null : "No node of the cluster would be left: start the daemon of one that has its store.";
    }

    // Some nodes have begun the order, or have done their part, and others have not.
    private static RecoveryDecision OfInterrupted(ClusterState cluster, RecoveryWish wish, RecoveryOrder current, int newest)
    {
        string[] more = [.. wish.Lost.Except(current.Lost())];
        string[] missing = [.. current.Lost().Except(wish.Lost)];
        if (missing.Length > 0 || (more.Length == 0 && wish.At is { } at && at != current.Line))
        {
            return new RecoveryDecision.Refused(
                Line($"A recovery to line {current.Line} was interrupted. End it first: 'xtlctl cluster recover{Naming(current.Lost().Union(wish.Lost))}'."));
        }

        if (more.Length == 0 && cluster.Answering.All(m => CanEnd(m, current)))
        {
            return new RecoveryDecision.Lead(current, newest, Resumed: true, IsNeeded: true);
        }

        return Instead(cluster, wish, current, newest);
    }

    // A node that has to go back for an order needs a checkpoint of its line, and it has to have promised the order.
    private static bool CanEnd(MemberState member, RecoveryOrder order)
    {
        RecoveryRecords records = member.Records;
        return (records.Incarnation == order.Incarnation && records.Begun is null)
            || ((order == records.Begun || order == records.Promised) && !member.LostInBegun
                && !(member.AwaitsRecovery && member.DurableIndex < order.Line));
    }

    private static RecoveryDecision Instead(ClusterState cluster, RecoveryWish wish, RecoveryOrder current, int newest)
    {
        (long? latest, string? unknown) = Latest(cluster, wish.Lost.Except(current.Lost()), wish.At);
        if (unknown is not null)
        {
            return new RecoveryDecision.Refused(unknown);
        }

        long line = Math.Min(latest ?? current.Line, current.Line);
        if (wish.At is { } at && (at < 0 || at > line))
        {
            return new RecoveryDecision.Refused(OutOfRange(line));
        }

        return Moves(cluster, wish, current.Moves, out IEnumerable<DomainMove> moves) is { } problem
            ? new RecoveryDecision.Refused(problem)
            : Lead(cluster, wish, line, moves, newest, isNeeded: true);
    }

    // No recovery is under way; of the last one, a lost node's domains may not be in their new place in every line yet.
    private static RecoveryDecision OfWhole(ClusterState cluster, RecoveryWish wish, RecoveryOrder? last, int newest)
    {
        // One that is not settled takes the line back to where none of them had moved.
        DomainMove[] unsettled = [.. last is not null && !last.Moves.All(m => IsSettled(cluster, m)) ? last.Moves : []];
        bool failed = Failed(cluster) is not null;
        if (last is { Moves.Count: > 0 } && wish.At is null && wish.Lost.Order(StringComparer.Ordinal).SequenceEqual(last.Lost())
            && (unsettled.Length == 0 || !failed))
        {
            // What is in a settled node's store is the past of domains that have gone on since.
            return failed
                ? new RecoveryDecision.Refused(
                    $"The domains of {string.Join(", ", last.Lost())} have been brought up on another node, whose own they are now, and "
                    + $"a node has failed since. Take {string.Join(", ", last.Lost())} out of the nodes that this command is told of, and leave --lost out.")
                : new RecoveryDecision.Done(last);
        }

        foreach (DomainMove move in unsettled)
        {
            // Where the host is lost, too, they go to a third node.
            if (!wish.Lost.Contains(move.Node)
                || (wish.To is { } to && to != move.To && !wish.Lost.Contains(move.To) && wish.Lost.Count == 1))
            {
                return new RecoveryDecision.Refused(
                    Line($"The domains of {move.Node} came to {move.To} with the recovery to line {last!.Line}, and not every later line has them there: ")
                    + $"'{Naming(unsettled.Select(m => m.Node).Union(wish.Lost)).TrimStart()}{(wish.Lost.Contains(move.To) ? "" : $" --to {move.To}")}', "
                    + $"with {move.Node} among the nodes that this command is told of.");
            }
        }

        string? gone = wish.Lost.FirstOrDefault(name => last?.Lost().Contains(name) == true && !unsettled.Any(m => m.Node == name));
        if (gone is not null)
        {
            return new RecoveryDecision.Refused(
                $"The domains of {gone} have been brought up on another node, whose own they are now. Take {gone} out of the nodes that this command is told of, and leave it out of --lost.");
        }

        (long? latest, string? unknown) = Latest(cluster, wish.Lost.Except(unsettled.Select(m => m.Node)), wish.At);
        if (unknown is not null)
        {
            return new RecoveryDecision.Refused(unknown);
        }

        // What others had heard of a lost node before the last recovery, that one has lowered to its line.
        long line = Math.Min(latest ?? long.MaxValue, unsettled.Length > 0 ? last!.Line : long.MaxValue);
        if (line == long.MaxValue && wish.At is null)
        {
            line = cluster.SafeLine ?? throw new InvalidOperationException("all nodes answer, and so tell their durable index");
        }

        long most = line != long.MaxValue ? line : wish.Lost.Count > 0 ? long.MaxValue : cluster.SafeLine ?? long.MaxValue;
        if (wish.At is { } at && (at < 0 || at > most))
        {
            return new RecoveryDecision.Refused(OutOfRange(most));
        }

        return Moves(cluster, wish, unsettled, out IEnumerable<DomainMove> moves) is { } problem
            ? new RecoveryDecision.Refused(problem)
            : Lead(cluster, wish, line, moves, newest, isNeeded: wish.Lost.Count > 0 || failed);
    }

    private static RecoveryDecision.Lead Lead(
        ClusterState cluster, RecoveryWish wish, long line, IEnumerable<DomainMove> moves, int newest, bool isNeeded)
    {
        int promised = cluster.Answering.Max(m => m.Records.Promised?.Incarnation ?? 0);
        return new(RecoveryOrder.Of(wish.At ?? line, Math.Max(newest, promised) + 1, moves, wish.DestroysNewer), newest, Resumed: false, isNeeded);
    }

    // The moves of before stay, but for those whose host is lost now.
    private static string? Moves(
        ClusterState cluster, RecoveryWish wish, IReadOnlyList<DomainMove> before, out IEnumerable<DomainMove> moves)
    {
        DomainMove[] kept = [.. before.Where(m => !wish.Lost.Contains(m.To))];
        string[] rest = [.. wish.Lost.Except(kept.Select(m => m.Node))];
        string? to = rest.Length == 0 ? null : wish.To ?? Emptiest(cluster);
        moves = kept.Concat(rest.Select(name => new DomainMove(name, to!)));
        return wish.To is { } wanted && rest.Length == 0 && kept.FirstOrDefault(m => m.To != wanted) is { } other
            ? $"The domains of {other.Node} are on {other.To} already: '--to {other.To}'."
            : null;
    }

    private static bool IsSettled(ClusterState cluster, DomainMove move) =>
        cluster.Answering.Any(member => member.Settled.Contains(move.Node));

    // The latest line that nodes which failed, and those that are lost since, can go back to; null where none did.
    private static (long? Line, string? Unknown) Latest(ClusterState cluster, IEnumerable<string> lost, long? at)
    {
        long? latest = Failed(cluster);
        foreach (string name in lost)
        {
            // It may have later checkpoints than those that a node which is left has heard of: its store tells, for a line that is named.
            if (at is not null)
            {
                continue;
            }

            if (cluster.DurableIndexOf(name) is { } durable and > 0)
            {
                latest = Math.Min(latest ?? long.MaxValue, durable);
            }
            else
            {
                return (null, $"No node has heard of a checkpoint of {name}. Name the line with --at; 'xtlctl checkpoints' on its store tells its indexes.");
            }
        }

        return (latest, null);
    }

    // The least durable index of nodes that have lost what was on its way: nobody has to go back further for them.
    private static long? Failed(ClusterState cluster) =>
        cluster.Answering.Where(m => m.AwaitsRecovery).Select(m => (long?)m.DurableIndex).Min();

    private static string Emptiest(ClusterState cluster) =>
        cluster.Answering.OrderBy(m => m.Domains).ThenBy(m => m.Name, StringComparer.Ordinal).First().Name;

    private static string OutOfRange(long latest) => Line($"--at is 0 to {latest}, the latest line that can be gone back to.");

    private static string Naming(IEnumerable<string> lost) => string.Concat(lost.Select(name => $" --lost {name}"));

    private static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
