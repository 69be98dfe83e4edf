using System.Runtime.InteropServices;

namespace XenTwoLevelCkpt.Protocol.Checking;

/// <summary>The time of a node between two checkpoints.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct Interval
{
    /// <summary>Rises along the node's whole run, over rollbacks too: intervals that were undone are never mistaken.
    /// </summary>
    internal int Id;

    /// <summary>The label of the checkpoint that opens it.</summary>
    internal long Label;

    /// <summary>The greatest k for which the node's member of line L_k lies before what is sent in it: it never falls along a history,
    /// even where labels do.</summary>
    internal long Reach;
}

/// <summary>The messages from one node that an interval received: the latest interval from which one came says it all,
/// because an interval depends on what precedes it. Not so where intervals can be undone, which the latest need not be: then there is one
/// of these for each sending interval.</summary>
[StructLayout(LayoutKind.Auto)]
internal struct Dependency
{
    /// <summary>The sender; its complement where the sending interval was undone.</summary>
    internal int From;

    internal int FromId;
    internal int ToId;

    /// <summary>The reach of the sending interval, where that is not kept any more.</summary>
    internal long FromReach;

    /// <summary>The earliest sending interval of a message that was not logged; <see cref="int.MaxValue"/> for none.
    /// </summary>
    internal int NotLoggedId;

    /// <summary>The least reach that the sender had at the send of one; <see cref="long.MaxValue"/> for none.</summary>
    internal long NotLoggedReach;
}

/// <summary>The history of one node that stands and has not been judged for good.</summary>
internal sealed class History
{
    // Dependencies of the open interval are merged when there are this many new ones: a scan then costs no more than
    // their making.
    private const int FirstMerge = 32;

    private int _openStart;
    private int _mergeAt = FirstMerge;

    // Sending intervals may be undone.
    private readonly bool _rollbacks;

    // Intervals below this one were judged for good, not undone.
    private int _firstId = 1;

    internal History(int nodes, bool clocks, bool rollbacks)
    {
        _rollbacks = rollbacks;
        Intervals.Add(new Interval { Id = 1 });
        if (clocks)
        {
            Clock = new int[nodes];
            Clocks = [new int[nodes]];
        }
    }

    /// <summary>The ordinal of the checkpoint that opens <see cref="Intervals"/>[0].</summary>
    internal long Base { get; private set; }

    /// <summary>The lowest k whose member of L_k is kept.</summary>
    internal long LowestLine { get; private set; }

    /// <summary>In order; the last one is open.</summary>
    internal List<Interval> Intervals { get; } = new(2);

    /// <summary>By receiving interval.</summary>
    internal List<Dependency> Dependencies { get; } = [];

    /// <summary>The vector clock now, by interval ids; null without clocks.</summary>
    internal int[]? Clock { get; set; }

    /// <summary>The vector clocks at the checkpoints that open <see cref="Intervals"/>.</summary>
    internal List<int[]>? Clocks { get; }

    internal int NextId { get; private set; } = 2;

    internal bool Failed { get; set; }

    /// <summary>The open interval's id: kept apart, because every event asks for it.</summary>
    internal int OpenId { get; private set; } = 1;

    /// <summary>The open interval's reach, likewise.</summary>
    internal long OpenReach { get; private set; }

    /// <summary>The ordinal of the last checkpoint.</summary>
    internal long LastOrdinal => Base + Intervals.Count - 1;

    /// <summary>The place of an interval in <see cref="Intervals"/>; -1 where it was undone or judged for good.</summary>
    internal int Find(int id)
    {
        ReadOnlySpan<Interval> all = CollectionsMarshal.AsSpan(Intervals);
        int guess = id - all[0].Id;
        if (guess < 0)
        {
            return -1;
        }

        if (guess < all.Length && all[guess].Id == id)
        {
            return guess;
        }

        int low = 0, high = all.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            if (all[middle].Id == id)
            {
                return middle;
            }

            if (all[middle].Id < id)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return -1;
    }

    /// <summary>True where an interval was undone.</summary>
    internal bool Undone(int id) => id >= _firstId && Find(id) < 0;

    /// <summary>The index reached a value without a checkpoint.</summary>
    internal void Raise(long reach)
    {
        if (reach > OpenReach)
        {
            OpenReach = reach;
            CollectionsMarshal.AsSpan(Intervals)[^1].Reach = reach;
        }
    }

    internal void Checkpoint(long label)
    {
        Merge();
        Open(new Interval { Id = NextId++, Label = label, Reach = Math.Max(label, OpenReach) });
        _openStart = Dependencies.Count;
        _mergeAt = FirstMerge;
    }

    internal void Depend(in Dependency dependency)
    {
        Dependencies.Add(dependency);
        if (Dependencies.Count - _openStart >= _mergeAt)
        {
            Merge();
            _mergeAt = 2 * Math.Max(FirstMerge, Dependencies.Count - _openStart);
        }
    }

    /// <summary>Dependencies of the open interval, in the order of senders and of their intervals.</summary>
    internal ReadOnlySpan<Dependency> OpenDependencies()
    {
        Merge();
        return CollectionsMarshal.AsSpan(Dependencies)[_openStart..];
    }

    /// <summary>Goes back to a checkpoint that stands.</summary>
    internal void RollBack(long ordinal, long index)
    {
        int place = (int)(ordinal - Base);
        Interval reopened = Intervals[place];
        Intervals.RemoveRange(place, Intervals.Count - place);
        int keep = Dependencies.Count;
        while (keep > 0 && Dependencies[keep - 1].ToId >= reopened.Id)
        {
            keep--;
        }

        Dependencies.RemoveRange(keep, Dependencies.Count - keep);
        reopened.Id = NextId++;
        reopened.Reach = Math.Max(Math.Max(reopened.Label, index), place > 0 ? Intervals[place - 1].Reach : LowestLine - 1);
        Open(reopened);
        _openStart = Dependencies.Count;
        _mergeAt = FirstMerge;
        if (Clocks is not null)
        {
            Clocks.RemoveRange(place + 1, Clocks.Count - place - 1);
            Clock = (int[])Clocks[place].Clone();
        }
    }

    /// <summary>Drops the first intervals.</summary>
    internal void Drop(int count)
    {
        _firstId = Intervals[count].Id;
        LowestLine = count > 0 ? Intervals[count - 1].Reach + 1 : LowestLine;
        Intervals.RemoveRange(0, count);
        Clocks?.RemoveRange(0, count);
        Base += count;
    }

    /// <summary>Drops dependencies; those of the open interval all stay.</summary>
    internal void DropDependencies(Predicate<Dependency> drop)
    {
        int open = OpenId;
        _ = Dependencies.RemoveAll(item => item.ToId != open && drop(item));
        _openStart = Dependencies.Count;
        while (_openStart > 0 && Dependencies[_openStart - 1].ToId == open)
        {
            _openStart--;
        }
    }

    private void Open(in Interval interval)
    {
        Intervals.Add(interval);
        OpenId = interval.Id;
        OpenReach = interval.Reach;
    }

    private void Merge()
    {
        Span<Dependency> open = CollectionsMarshal.AsSpan(Dependencies)[_openStart..];
        if (open.Length < 2)
        {
            return;
        }

        open.Sort((a, b) => a.From != b.From ? a.From.CompareTo(b.From) : a.FromId.CompareTo(b.FromId));
        int kept = 0;
        for (int i = 1; i < open.Length; i++)
        {
            ref Dependency last = ref open[kept];
            ref readonly Dependency next = ref open[i];
            if (next.From != last.From || (_rollbacks && next.FromId != last.FromId))
            {
                open[++kept] = next;
                continue;
            }

            if (next.FromId > last.FromId)
            {
                last.FromId = next.FromId;
                last.FromReach = next.FromReach;
            }

            last.NotLoggedId = Math.Min(last.NotLoggedId, next.NotLoggedId);
            last.NotLoggedReach = Math.Min(last.NotLoggedReach, next.NotLoggedReach);
        }

        int length = _openStart + kept + 1;
        Dependencies.RemoveRange(length, Dependencies.Count - length);
    }
}
