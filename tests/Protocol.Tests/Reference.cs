namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>What the checker is judged by: definitions, tried out on small runs, without any graph.</summary>
internal static class Reference
{
    /// <summary>Netzer and Xu: a message of the path is sent in the interval in which the one before it was delivered, or
    /// a later one, whatever came first there.</summary>
    internal static bool ZPath(Outcome run, int from, long sentFrom, int to, long deliveredBefore) =>
        Path(run, from, sentFrom, to, deliveredBefore, (last, next) => next.SentAfter >= last.DeliveredAfter);

    /// <summary>The same where each message is sent after the one before it was delivered.</summary>
    internal static bool CausalPath(Outcome run, int from, long sentFrom, int to, long deliveredBefore) =>
        Path(run, from, sentFrom, to, deliveredBefore, (last, next) => next.SentAt > last.DeliveredAt);

    /// <summary>Checkpoints on a Z-cycle.</summary>
    internal static List<(int Node, long Ordinal)> OnZCycles(Outcome run)
    {
        List<(int Node, long Ordinal)> found = [];
        for (int i = 0; i < run.Checkpoints.Length; i++)
        {
            for (int x = 1; x < run.Checkpoints[i].Count; x++)
            {
                if (ZPath(run, i, x, i, x))
                {
                    found.Add((i, x));
                }
            }
        }

        return found;
    }

    /// <summary>Checkpoints that are in no consistent line, by trying all lines. A node may also be at its present state:
    /// the ordinal after its last checkpoint.</summary>
    internal static List<(int Node, long Ordinal)> InNoLine(Outcome run)
    {
        HashSet<(int, long)> inSome = [];
        long[] line = new long[run.Checkpoints.Length];
        Try(0);
        return [.. from i in Enumerable.Range(0, line.Length)
                   from x in Enumerable.Range(1, run.Checkpoints[i].Count - 1)
                   where !inSome.Contains((i, x))
                   select (i, (long)x)];

        void Try(int node)
        {
            if (node < line.Length)
            {
                for (line[node] = 0; line[node] <= run.Checkpoints[node].Count; line[node]++)
                {
                    Try(node + 1);
                }
            }
            else if (Orphans(run, line) == 0)
            {
                inSome.UnionWith(line.Select((ordinal, i) => (i, ordinal)));
            }
        }
    }

    /// <summary>Messages sent after the sender's member and delivered before the receiver's.</summary>
    internal static int Orphans(Outcome run, IReadOnlyList<long> line) => run.Messages.Count(message =>
        message.Delivered && message.SentAfter >= line[message.From] && message.DeliveredAfter < line[message.To]);

    /// <summary>Pairs of an interval and a checkpoint that depends on it with no causal path to show it.</summary>
    internal static int Untrackable(Outcome run)
    {
        int count = 0;
        for (int i = 0; i < run.Checkpoints.Length; i++)
        {
            for (int p = 0; p < run.Checkpoints[i].Count; p++)
            {
                for (int j = 0; j < run.Checkpoints.Length; j++)
                {
                    for (int q = 1; q < run.Checkpoints[j].Count; q++)
                    {
                        bool before = i == j && p < q;
                        count += !before && ZPath(run, i, p, j, q) && !CausalPath(run, i, p, j, q) ? 1 : 0;
                    }
                }
            }
        }

        return count;
    }

    private static bool Path(
        Outcome run, int from, long sentFrom, int to, long deliveredBefore, Func<Message, Message, bool> follows)
    {
        HashSet<Message> seen = [];
        Stack<Message> work = new(run.Messages.Where(m => m.Delivered && m.From == from && m.SentAfter >= sentFrom));
        while (work.TryPop(out Message? last))
        {
            if (!seen.Add(last))
            {
                continue;
            }

            if (last.To == to && last.DeliveredAfter < deliveredBefore)
            {
                return true;
            }

            foreach (Message next in run.Messages)
            {
                if (next.Delivered && next.From == last.To && follows(last, next))
                {
                    work.Push(next);
                }
            }
        }

        return false;
    }
}
