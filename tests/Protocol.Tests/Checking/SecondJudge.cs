using System.Globalization;
using System.Runtime.InteropServices;
using XenTwoLevelCkpt.Protocol.Checking;

namespace XenTwoLevelCkpt.Protocol.Tests.Checking;

/// <summary>
/// A second judge of runs, by the definitions of docs/trace-format.md alone: it keeps every record, and tries out every line, every
/// pair of checkpoints and every path. It shares the records of a trace with the checker, and nothing else.
/// </summary>
/// <remarks>A record is named by its number, from 1. The history of a node that stands is a list of them: 0, its initial checkpoint,
/// comes first, and a rollback takes away all behind the checkpoint that it names.</remarks>
internal sealed class SecondJudge
{
    private readonly TraceHeader _header;
    private readonly IReadOnlyList<TraceEvent> _events;
    private readonly List<int>[] _stands;
    private readonly HashSet<int> _failed = [];
    private readonly HashSet<long> _lost = [];
    private readonly Dictionary<long, Sending> _sendings = [];

    // By delivery the indices between which the lines are that it crosses.
    private readonly Dictionary<int, (long Sent, long Delivered)> _crossings = [];
    private readonly SortedSet<string> _findings = new(StringComparer.Ordinal);
    private readonly long _highest;
    private long _undone;

    private SecondJudge(TraceHeader header, IReadOnlyList<TraceEvent> events)
    {
        _header = header;
        _events = events;
        _stands = [.. Enumerable.Range(0, header.Nodes).Select(_ => new List<int> { 0 })];
        _highest = events.Select(item => item.Index).DefaultIfEmpty(0).Max();
    }

    /// <summary>Judges a run that can have happened.</summary>
    /// <param name="header">What the trace says of itself.</param>
    /// <param name="events">Its records.</param>
    /// <param name="traits">What its protocol promises; null for nothing.</param>
    /// <param name="line">Chooses a line to judge, given by node the ordinal of its last checkpoint; null for none.</param>
    internal static Judgement Judge(
        TraceHeader header, IReadOnlyList<TraceEvent> events, ProtocolTraits? traits, Func<long[], long[]?> line)
    {
        SecondJudge judge = new(header, events);
        for (int record = 1; record <= events.Count; record++)
        {
            judge.Happen(record);
        }

        return judge.End(traits, line);
    }

    private void Happen(int record)
    {
        TraceEvent item = _events[record - 1];
        List<int> own = _stands[item.Node];
        if (item.Kind is TraceEventKind.Rollback)
        {
            _ = _failed.Remove(item.Node);
        }
        else if (item.Kind is not (TraceEventKind.Failure or TraceEventKind.Lost) && _failed.Remove(item.Node))
        {
            Tell(FindingKind.ActsAfterFailure, item.Node, null, record);
        }

        switch (item.Kind)
        {
            case TraceEventKind.Basic or TraceEventKind.Forced or TraceEventKind.Other:
                if (item.Index < IndexAt(item.Node, own.Count - 1))
                {
                    Tell(FindingKind.LabelFell, item.Node, null, record);
                }

                EndInterval(item.Node, record);
                own.Add(record);
                break;
            case TraceEventKind.Send:
                own.Add(record);
                _sendings.Add(item.Message, new Sending(record, item.Node, IndexAt(item.Node, own.Count - 1)));
                break;
            case TraceEventKind.Receive or TraceEventKind.ReceiveLogged:
                own.Add(record);
                Deliver(record, item);
                break;
            case TraceEventKind.Lost:
                _ = _lost.Add(item.Message);
                break;
            case TraceEventKind.IndexRaised:
                own.Add(record);
                break;
            case TraceEventKind.Failure:
                _ = _failed.Add(item.Node);
                break;
            case TraceEventKind.Rollback:
                EndInterval(item.Node, record);
                int[] checkpoints = [.. own.Where(IsCheckpoint)];
                int keep = own.IndexOf(checkpoints[item.Ordinal]) + 1;
                _undone += checkpoints.Length - 1 - item.Ordinal;
                own.RemoveRange(keep, own.Count - keep);
                own.Add(record);
                break;
            default:
                break;
        }
    }

    private void Deliver(int record, TraceEvent item)
    {
        Sending sending = _sendings[item.Message];
        if (!Stands(sending))
        {
            Tell(FindingKind.Ghost, item.Node, sending.Node, record);
            return;
        }

        if (Deliveries().Any(other => other.Record != record && other.Message == item.Message))
        {
            Tell(FindingKind.Duplicate, item.Node, sending.Node, record);
        }

        for (long k = 1; _header.Line == LineRule.FirstAtLeast && k <= _highest; k++)
        {
            if (IsOrphan(k, sending, new Delivery(record, item.Node, item.Message)))
            {
                Tell(FindingKind.Orphan, item.Node, sending.Node, record, k);
            }
        }
    }

    // The node checkpoints, goes back, or the run ends: how far its index rises in the interval is known.
    private void EndInterval(int node, int record)
    {
        List<int> own = _stands[node];
        long reached = IndexAt(node, own.Count - 1);
        for (int at = own.FindLastIndex(IsCheckpoint) + 1; at < own.Count; at++)
        {
            if (_events[own[at] - 1] is not { Kind: TraceEventKind.Receive or TraceEventKind.ReceiveLogged } item)
            {
                continue;
            }

            Sending sending = _sendings[item.Message];
            _crossings[own[at]] = (sending.Index, reached);
            bool judged = _header.ChannelLogs && _header.Line != LineRule.Propagation && item.Kind == TraceEventKind.Receive;
            for (long k = sending.Index + 1; judged && k <= reached; k++)
            {
                Tell(FindingKind.NotLogged, node, sending.Node, record, k);
            }
        }
    }

    private Judgement End(ProtocolTraits? traits, Func<long[], long[]?> choose)
    {
        long[] last = [.. _stands.Select(own => own.Count(IsCheckpoint) - 1L)];
        long[]? given = choose(last);
        for (int node = 0; node < _stands.Length; node++)
        {
            EndInterval(node, _events.Count);
        }

        Delivery[] deliveries = [.. Deliveries()];
        JudgeDeliveries(deliveries, given);
        long inFlight = 0;
        foreach ((long message, Sending sending) in _sendings)
        {
            bool delivered = _events.Any(item => item.Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged && item.Message == message);
            if (Stands(sending) && !_lost.Contains(message) && !deliveries.Any(delivery => delivery.Message == message))
            {
                inFlight += delivered ? 0 : 1;
                if (delivered)
                {
                    _ = _findings.Add(Text(FindingKind.NotReplayed, _events[sending.Record - 1].Peer, sending.Node, message, null));
                }
            }
        }

        SmallRun run = new(
            [.. _stands.Select(own => own.Count(IsCheckpoint))],
            [.. deliveries.Where(d => Stands(SendingOf(d))).Select(d => new SmallRun.Arrow(
                SendingOf(d).Node, Interval(SendingOf(d)), Place(SendingOf(d)), d.Node, Interval(d), Place(d)))],
            [.. deliveries.Where(d => !Stands(SendingOf(d))).Select(d => (d.Node, Interval(d)))]);
        List<(int Node, long Ordinal)> useless = run.OnZCycles();
        long untrackable = run.Untrackable();
        bool orphans = _findings.Any(text => text.StartsWith(nameof(FindingKind.OrphanAfterRecovery), StringComparison.Ordinal));
        if (traits is { NoUselessCheckpoints: true } && useless.Count > 0)
        {
            _ = _findings.Add(nameof(FindingKind.Useless));
        }

        if (traits is { RollbackDependencyTrackable: true } && untrackable > 0 && !orphans)
        {
            _ = _findings.Add(nameof(FindingKind.NotTrackable));
        }

        if (AnyCompleteLineHasOrphans(deliveries))
        {
            _ = _findings.Add(nameof(FindingKind.ClocksDisagree));
        }

        return new Judgement
        {
            Findings = _findings,
            OrphansStand = orphans,
            InFlight = inFlight,
            Undone = _undone,
            Useless = useless,
            Untrackable = untrackable,
            GreatestLine = run.GreatestLine(),
            GivenLine = given,
            LastOrdinals = last,
            SingleFailureNodesMax = run.SingleFailureNodesMax(),
        };
    }

    // Of what stands at the end.
    private void JudgeDeliveries(Delivery[] deliveries, long[]? given)
    {
        foreach (Delivery delivery in deliveries)
        {
            Sending sending = SendingOf(delivery);
            if (!Stands(sending))
            {
                Tell(FindingKind.OrphanAfterRecovery, delivery.Node, sending.Node, null);
                continue;
            }

            for (long k = 1; _header.Line != LineRule.Propagation && k <= _highest; k++)
            {
                if (_header.Line == LineRule.LastBeforeReaching && IsOrphan(k, sending, delivery))
                {
                    Tell(FindingKind.Orphan, delivery.Node, sending.Node, null, k);
                }

                // The document promises that it calls no fewer deliveries crossing than the letter does.
                if (CrossesByLetter(k, sending, delivery))
                {
                    (long sent, long delivered) = _crossings[delivery.Record];
                    Xunit.Assert.True(sent < k && k <= delivered, $"record {delivery.Record} crosses line {k}, and not by its indices");
                }
            }

            if (given is null)
            {
                continue;
            }

            bool sentAfter = Interval(sending) >= given[sending.Node], deliveredAfter = Interval(delivery) >= given[delivery.Node];
            if (sentAfter && !deliveredAfter)
            {
                _ = _findings.Add(Text(FindingKind.Orphan, delivery.Node, sending.Node, null, null));
            }

            if (_header.ChannelLogs && _events[delivery.Record - 1].Kind == TraceEventKind.Receive && !sentAfter && deliveredAfter)
            {
                _ = _findings.Add(Text(FindingKind.NotLogged, delivery.Node, sending.Node, null, null));
            }
        }
    }

    private bool AnyCompleteLineHasOrphans(Delivery[] deliveries)
    {
        for (long k = 0; _header.Line != LineRule.Propagation && k <= _highest; k++)
        {
            bool complete = Enumerable.Range(0, _stands.Length).All(node => Member(node, k) is not null);
            if (complete && deliveries.Any(delivery => Stands(SendingOf(delivery)) && IsOrphan(k, SendingOf(delivery), delivery)))
            {
                return true;
            }
        }

        return false;
    }

    private bool IsOrphan(long k, Sending sending, Delivery delivery) =>
        Member(sending.Node, k) is { } from && Place(sending) > from
        && (Member(delivery.Node, k) is not { } to || Place(delivery) < to);

    private bool CrossesByLetter(long k, Sending sending, Delivery delivery) =>
        (Member(sending.Node, k) is not { } from || Place(sending) < from)
        && Member(delivery.Node, k) is { } to && Place(delivery) > to;

    // The place of a node's member of L_k in its history; null where its index has not reached k.
    private int? Member(int node, long k)
    {
        List<int> own = _stands[node];
        if (_header.Line == LineRule.FirstAtLeast)
        {
            int first = own.FindIndex(record => IsCheckpoint(record) && Label(record) >= k);
            return first < 0 ? null : first;
        }

        int reaches = own.FindIndex(record => Index(record) >= k);
        return reaches < 0 ? null : own.FindLastIndex(reaches, IsCheckpoint);
    }

    // The greatest index that a node had in its history up to a place.
    private long IndexAt(int node, int place) => _stands[node].Take(place + 1).Max(Index);

    // What a record says of its node's index.
    private long Index(int record) =>
        record > 0 && (IsCheckpoint(record) || _header.Line == LineRule.LastBeforeReaching) ? _events[record - 1].Index : 0;

    private IEnumerable<Delivery> Deliveries() =>
        from own in _stands
        from record in own
        where record > 0 && _events[record - 1].Kind is TraceEventKind.Receive or TraceEventKind.ReceiveLogged
        select new Delivery(record, _events[record - 1].Node, _events[record - 1].Message);

    private Sending SendingOf(Delivery delivery) => _sendings[delivery.Message];

    private bool Stands(Sending sending) => _stands[sending.Node].Contains(sending.Record);

    private int Place(Sending sending) => _stands[sending.Node].IndexOf(sending.Record);

    private int Place(Delivery delivery) => _stands[delivery.Node].IndexOf(delivery.Record);

    // The ordinal of the last checkpoint before it.
    private long Interval(Sending sending) => _stands[sending.Node].Take(Place(sending)).Count(IsCheckpoint) - 1;

    private long Interval(Delivery delivery) => _stands[delivery.Node].Take(Place(delivery)).Count(IsCheckpoint) - 1;

    private bool IsCheckpoint(int record) =>
        record == 0 || _events[record - 1].Kind is TraceEventKind.Basic or TraceEventKind.Forced or TraceEventKind.Other;

    private long Label(int record) => record == 0 ? 0 : _events[record - 1].Index;

    private void Tell(FindingKind kind, int node, int? from, int? record, long line = 0) =>
        _findings.Add(Text(kind, node, from, record, line));

    /// <summary>A finding in a form in which those of two judges can be compared.</summary>
    /// <param name="kind">What.</param>
    /// <param name="node">Where.</param>
    /// <param name="from">The sender; null where none has a part in it.</param>
    /// <param name="number">The record at which it showed, or the message; null where only the whole shows it.</param>
    /// <param name="line">k; 0 where it is of no line, and null for a given line, or a message as a whole.</param>
    internal static string Text(FindingKind kind, int node, int? from, long? number, long? line) =>
        string.Create(CultureInfo.InvariantCulture, $"{kind} node {node} from {from} number {number} line {line}");

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Sending(int Record, int Node, long Index);

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Delivery(int Record, int Node, long Message);
}

/// <summary>What the second judge says of a run.</summary>
internal sealed record Judgement
{
    /// <summary>What is wrong, as <see cref="SecondJudge.Text"/> has it.</summary>
    internal required SortedSet<string> Findings { get; init; }

    /// <summary>Deliveries stand whose sendings do not: vector clocks have what was undone.</summary>
    internal required bool OrphansStand { get; init; }

    internal required long InFlight { get; init; }

    internal required long Undone { get; init; }

    internal required List<(int Node, long Ordinal)> Useless { get; init; }

    internal required long Untrackable { get; init; }

    internal required long[] GreatestLine { get; init; }

    internal required long[]? GivenLine { get; init; }

    internal required long[] LastOrdinals { get; init; }

    internal required int SingleFailureNodesMax { get; init; }
}
