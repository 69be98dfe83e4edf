using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Tests.Checking;

/// <summary>What stands of a small run, for what is defined over all of its checkpoints, lines and paths.</summary>
/// <param name="checkpoints">By node how many checkpoints it has, the initial one too.</param>
/// <param name="arrows">Deliveries whose sendings stand.</param>
/// <param name="orphans">By node and interval those whose sendings do not.</param>
internal sealed class SmallRun(int[] checkpoints, SmallRun.Arrow[] arrows, (int Node, long Interval)[] orphans)
{
    private List<long[]>? _consistent;

    /// <summary>A delivery: the last checkpoints before its ends, and the places of those in the histories of their nodes.</summary>
    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Arrow(int From, long SentAfter, int SentAt, int To, long DeliveredAfter, int DeliveredAt);

    /// <summary>Checkpoints on Z-cycles (Netzer, Xu 1995, definition 5).</summary>
    internal List<(int Node, long Ordinal)> OnZCycles() =>
        [.. Checkpoints().Where(c => HasPath(c.Node, c.Ordinal, c.Node, c.Ordinal, IsZigzag))];

    /// <summary>Pairs of a checkpoint and one that a Z-path leads to from it, with no causal path beside it: what is not on-line
    /// trackable (Wang 1997). A checkpoint and a later one of its node need no path.</summary>
    internal long Untrackable() =>
        (from a in Checkpoints()
         from b in Checkpoints()
         where b.Ordinal > 0 && !(a.Node == b.Node && a.Ordinal < b.Ordinal)
             && HasPath(a.Node, a.Ordinal, b.Node, b.Ordinal, IsZigzag) && !HasPath(a.Node, a.Ordinal, b.Node, b.Ordinal, IsCausal)
         select b).LongCount();

    /// <summary>Of the consistent lines of checkpoints the one that is behind all others.</summary>
    internal long[] GreatestLine() =>
        Greatest(Consistent().Where(line => line.Zip(checkpoints).All(member => member.First < member.Second)));

    /// <summary>The most nodes that go back where one fails, over all choices of that one.</summary>
    internal int SingleFailureNodesMax() => Enumerable.Range(0, checkpoints.Length).Max(failed =>
        Greatest(Consistent().Where(line => line[failed] < checkpoints[failed])).Zip(checkpoints).Count(member => member.First < member.Second));

    // Consistent lines are a lattice.
    private static long[] Greatest(IEnumerable<long[]> lines)
    {
        long[][] all = [.. lines];
        long[] greatest = all.MaxBy(line => line.Sum())!;
        Xunit.Assert.True(Array.TrueForAll(all, line => line.Zip(greatest).All(member => member.First <= member.Second)));
        return greatest;
    }

    private IEnumerable<(int Node, long Ordinal)> Checkpoints() =>
        from node in Enumerable.Range(0, checkpoints.Length)
        from ordinal in Enumerable.Range(0, checkpoints[node])
        select (node, (long)ordinal);

    // A member is a checkpoint or, by the ordinal after the last one, the present state.
    private List<long[]> Consistent()
    {
        if (_consistent is null)
        {
            _consistent = [];
            Try(new long[checkpoints.Length], 0);
        }

        return _consistent;

        void Try(long[] line, int node)
        {
            if (node < line.Length)
            {
                for (line[node] = 0; line[node] <= checkpoints[node]; line[node]++)
                {
                    Try(line, node + 1);
                }
            }
            else if (IsConsistent(line))
            {
                _consistent.Add((long[])line.Clone());
            }
        }
    }

    // Whatever was delivered before its receiver's member was sent before its sender's.
    private bool IsConsistent(long[] line) =>
        !Array.Exists(arrows, arrow => arrow.DeliveredAfter < line[arrow.To] && arrow.SentAfter >= line[arrow.From])
        && !Array.Exists(orphans, orphan => orphan.Interval < line[orphan.Node]);

    // In the interval of the delivery or a later one, whatever came first in it (Netzer, Xu 1995, definition 3).
    private static bool IsZigzag(Arrow last, Arrow next) => next.SentAfter >= last.DeliveredAfter;

    private static bool IsCausal(Arrow last, Arrow next) => next.SentAt > last.DeliveredAt;

    private bool HasPath(int from, long after, int to, long before, Func<Arrow, Arrow, bool> follows)
    {
        HashSet<Arrow> seen = [];
        return arrows.Any(first => first.From == from && first.SentAfter >= after && Leads(first));

        bool Leads(Arrow last) => seen.Add(last)
            && ((last.To == to && last.DeliveredAfter < before)
                || arrows.Any(next => next.From == last.To && follows(last, next) && Leads(next)));
    }
}
