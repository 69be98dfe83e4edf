using System.Diagnostics.CodeAnalysis;
using XenTwoLevelCkpt.Channels;
using XenTwoLevelCkpt.Protocol.Recovery;

namespace XenTwoLevelCkpt.Daemon.Recovery;

/// <summary>What a node has on its disks of its past, as a recovery is planned from it. May read disks, and throws what that throws.
/// </summary>
internal interface INodePast
{
    /// <summary>The node's name.</summary>
    string Node { get; }

    /// <summary>The incarnation that it is in, or was in when it was lost.</summary>
    int Incarnation { get; }

    /// <summary>Its checkpoints of the history that stands, the oldest first.</summary>
    IReadOnlyList<CheckpointPoint> Points { get; }

    /// <summary>The domains in a checkpoint, by UUID.</summary>
    /// <param name="epoch">The checkpoint's epoch.</param>
    IReadOnlyList<Guid> DomainsOf(ulong epoch);

    /// <summary>The lost nodes whose domains it had at a checkpoint.</summary>
    /// <param name="epoch">The checkpoint's epoch.</param>
    IReadOnlyList<string> LostIn(ulong epoch);
}

/// <summary>What a node's part of a recovery is planned from.</summary>
/// <param name="Record">The node's record on disk.</param>
/// <param name="Messages">Its messages as they are.</param>
/// <param name="Own">Its own past.</param>
/// <param name="LastEpoch">The last epoch in its store.</param>
/// <param name="Here">The domains on the host, by UUID.</param>
internal sealed record PartView(
    NodeRecord Record, MessagesState Messages, INodePast Own, ulong LastEpoch, IReadOnlyCollection<Guid> Here)
{
    /// <summary>Finds the past of a lost node.</summary>
    public required Func<string, INodePast> Lost { get; init; }

    /// <summary>True where a domain exchanges frames with guests of other nodes.</summary>
    public required Func<Guid, bool> ReachesPeers { get; init; }

    /// <summary>A domain's name, for people.</summary>
    public required Func<Guid, string> NameOf { get; init; }

    /// <summary>True on a node without peers.</summary>
    public bool IsAlone { get; init; }
}

/// <summary>Why a node cannot do its part.</summary>
/// <param name="Reason">One of <see cref="Problems"/>.</param>
/// <param name="Why">Sentences that say what to do.</param>
internal sealed record PartRefusal(string Reason, string Why);

/// <summary>Plans a node's part of a recovery: a function of what the node has found. The daemon carries out what it says, and the
/// simulation of whole clusters the same.</summary>
internal static class PartPlanner
{
    /// <summary>Plans.</summary>
    /// <param name="view">What the node has found.</param>
    /// <param name="order">What all nodes do.</param>
    /// <param name="part">The part; null where the node refuses it.</param>
    /// <param name="refusal">Why it does; null where it does not.</param>
    internal static bool TryPlan(
        PartView view, RecoveryOrder order, [NotNullWhen(true)] out RecoveryPart? part, [NotNullWhen(false)] out PartRefusal? refusal)
    {
        (part, LineMember? own) = (null, null);
        if (RecoveryChoices.RollsBack(view.Record.Pending, order, view.Messages)
            && !TryMember(view, view.Own, order, out own, out refusal))
        {
            return false;
        }

        var adopted = new List<AdoptedMember>();
        foreach (DomainMove move in order.Moves.Where(m => m.To == view.Own.Node))
        {
            INodePast lost = view.Lost(move.Node);
            refusal = OtherPast(view, lost, order);
            if (refusal is not null || !TryMember(view, lost, order, out LineMember? member, out refusal))
            {
                return false;
            }

            if ((refusal = IsHere(view, move, member)) is not null)
            {
                return false;
            }

            adopted.Add(new AdoptedMember(move.Node, member.Epoch, member.Domains));
        }

        Guid[] newer = own is null ? [] : [.. Newer(view, [.. own.Domains.Concat(adopted.SelectMany(a => a.Domains))])];
        if (newer.Length > 0 && !order.DestroysNewer)
        {
            refusal = new PartRefusal(
                Problems.NewerDomain,
                $"{string.Join(", ", newer.Select(view.NameOf))}: not in the checkpoint of the line {order.Line}, and would run on from a time "
                + "that the others go back from. Destroy what is newer with '--destroy-newer'.");
            return false;
        }

        refusal = null;
        part = own is null
            ? new GoOnPart(order) { IsAlone = view.IsAlone, Adopted = adopted }
            : new RollBackPart(order, own, view.LastEpoch) { IsAlone = view.IsAlone, Adopted = adopted, Newer = newer };
        return true;
    }

    private static bool TryMember(
        PartView view, INodePast past, RecoveryOrder order, [NotNullWhen(true)] out LineMember? member, [NotNullWhen(false)] out PartRefusal? refusal)
    {
        (member, refusal) = (null, null);
        if (RecoveryChoices.Member(past.Points, order.Line) is not int at)
        {
            refusal = new PartRefusal(
                Problems.Line,
                $"{(past == view.Own ? "Node" : "The lost node")} {past.Node} has no checkpoint that the line {order.Line} needs: "
                + (RecoveryChoices.LaterLine(past.Points, order.Line) is { } later
                    ? $"older ones were removed. Name a later line: '--at {later}'."
                    : past.Points is [.., { } latest]
                    ? $"the latest that is there is of line {latest.Reach}. Name that one, '--at {latest.Reach}', or an earlier one."
                    : "there is none at all."));
            return false;
        }

        CheckpointPoint point = past.Points[at];

        // Domains that came to the node from a lost one since then would be gone.
        IReadOnlyList<Departure> hosted = RecoveryChoices.Hosted(view.Record.Departures, past.Node, order);
        if (hosted.Count > 0 && RecoveryChoices.CameSince(hosted, past.LostIn(point.Epoch)) is { } gone)
        {
            CheckpointPoint? with = past.Points.Skip(at + 1).FirstOrDefault(p => RecoveryChoices.CameSince(hosted, past.LostIn(p.Epoch)) is null);
            refusal = new PartRefusal(
                Problems.Line,
                $"The domains of {gone.Node} came to {past.Node} after its checkpoint of the line {order.Line}, and would be lost: "
                + (gone.Settled || past != view.Own
                    ? $"name a later line{(with is null ? " with --at" : $": '--at {with.Index}'")}."
                    : $"recover with '--lost {gone.Node} --to {past.Node}'."));
            return false;
        }

        member = new LineMember(point.Epoch, point.Index, past.DomainsOf(point.Epoch));
        return true;
    }

    // A recovery that one of the two nodes took part in and the other did not has undone what checkpoints behind its line hang on.
    private static PartRefusal? OtherPast(PartView view, INodePast lost, RecoveryOrder order) =>
        RecoveryChoices.Undone(view.Record, lost.Incarnation, order.Line) is { } line
            ? new PartRefusal(
                Problems.Line,
                $"Not both {lost.Node} and {view.Own.Node} took part in the recovery to line {line}, and later checkpoints are of a past that "
                + $"is gone: name that line with '--at {line}', or an earlier one.")
            : null;

    // Where the node has not brought them up before, those of a lost node that are here moved since the line.
    private static PartRefusal? IsHere(PartView view, DomainMove move, LineMember member)
    {
        Guid[] here = RecoveryChoices.IsFirst(view.Record, move) ? [.. member.Domains.Where(view.Here.Contains)] : [];
        return here.Length == 0 ? null : new PartRefusal(
            Problems.Domain,
            $"Domain {view.NameOf(here[0])} is in the checkpoint of {move.Node}, and is on {view.Own.Node} now: it moved after this line. "
            + "Name a later line with --at, or destroy it where it is now.");
    }

    // Domains that exchange frames with others, and are in none of the checkpoints.
    private static IEnumerable<Guid> Newer(PartView view, HashSet<Guid> known) =>
        RecoveryChoices.Newer(view.Here.Where(d => !known.Contains(d) && view.ReachesPeers(d)), known);
}
