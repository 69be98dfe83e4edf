using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using XenTwoLevelCkpt.Protocol.Checking;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests.Checking;

/// <summary>The checker against the second judge.</summary>
public sealed partial class TwoJudgesTests
{
    private const int Traces = 30_000;

    [Fact]
    public void The_checker_finds_what_the_second_judge_finds()
    {
        int sound = 0, narrow = 0;
        Dictionary<string, int> seen = [];
        for (int seed = 0; seed < Traces; seed++)
        {
            (TraceHeader header, List<TraceEvent> events) = RandomTrace.Make(seed);
            if (Difference(header, events, seed, out Judgement judgement, out bool narrowed) is not null)
            {
                Fail(header, events, seed);
            }

            sound += judgement.Findings.Count == 0 ? 1 : 0;
            narrow += narrowed ? 1 : 0;
            foreach (string kind in judgement.Findings.Select(text => text.Split(' ')[0]).Distinct())
            {
                seen[kind] = seen.GetValueOrDefault(kind) + 1;
            }
        }

        string counts = $"{sound} sound, {narrow} with a small window too; {string.Join(", ", seen.OrderBy(kind => kind.Key).Select(kind => $"{kind.Value} {kind.Key}"))}";
        TestContext.Current.TestOutputHelper?.WriteLine($"{Traces} traces: {counts}");
        Assert.True(sound > Traces / 10 && narrow > Traces / 2, counts);
        Assert.True(seen.Count == Enum.GetValues<FindingKind>().Length && seen.Values.Min() > Traces / 1000, counts);
    }

    // Drops records, ever fewer at once, while the judges still differ.
    private static void Fail(TraceHeader header, List<TraceEvent> events, int seed)
    {
        for (int size = events.Count; size > 0; size /= 2)
        {
            for (int at = 0; at + size <= events.Count;)
            {
                List<TraceEvent> fewer = RandomTrace.Possible(header, [.. events[..at], .. events[(at + size)..]]);
                if (Difference(header, fewer, seed, out _, out _) is null)
                {
                    at++;
                }
                else
                {
                    events = fewer;
                }
            }
        }

        using MemoryStream output = new();
        using TraceWriter writer = TraceWriter.Create(output, header, jsonLines: true);
        events.ForEach(item => writer.Write(item));
        writer.Complete();
        Assert.Fail($"seed {seed}: {Difference(header, events, seed, out _, out _)}\n{Encoding.UTF8.GetString(output.ToArray())}");
    }

    private static string? Difference(TraceHeader header, List<TraceEvent> events, int seed, out Judgement judgement, out bool narrowed)
    {
        ProtocolTraits? traits = ProtocolFamily.All.FirstOrDefault(traits => traits.Name == header.Protocol);
        Random random = new(seed);
        Judgement expected = judgement = SecondJudge.Judge(
            header, events, traits, lasts => random.Next(2) == 0 ? null : Array.ConvertAll(lasts, last => random.NextInt64(last + 1)));
        string? difference = Compare(expected, Check(header, events, expected.GivenLine, int.MaxValue));
        narrowed = difference is null;
        try
        {
            return difference ?? Compare(expected, Check(header, events, expected.GivenLine, window: 1 + (seed % 8)), settled: true);
        }
        catch (ImpossibleEventException e) when (e.Message.EndsWith("larger window", StringComparison.Ordinal) || e.Message.EndsWith("delivered already", StringComparison.Ordinal))
        {
            narrowed = false;
            return null;
        }
    }

    private static CheckReport Check(TraceHeader header, List<TraceEvent> events, long[]? line, int window)
    {
        TraceChecker checker = new(header, new CheckOptions { Line = line, Window = window, FindingsShown = int.MaxValue });
        events.ForEach(item => checker.Add(item));
        return checker.Complete();
    }

    private static string? Compare(Judgement expected, CheckReport report, bool settled = false)
    {
        List<(string What, string Expected, string Found)> compared =
        [
            ("in flight", $"{expected.InFlight}", $"{report.InFlight}"),
            ("checkpoints undone", $"{expected.Undone}", $"{report.CheckpointsUndone}"),
            ("useless", string.Join(' ', expected.Useless), string.Join(' ', report.UselessShown.Select(item => (item.Node, item.Ordinal)).Order())),
            ("useless", $"{expected.Useless.Count}", $"{report.Useless}"),
            ("greatest line", string.Join(' ', expected.GreatestLine), string.Join(' ', report.GreatestLine)),
            ("rollback distance", $"{expected.LastOrdinals.Zip(expected.GreatestLine, (last, member) => last - member).Max()}", $"{report.RollbackDistanceMax}"),
            ("mean rollback distance", $"{(expected.LastOrdinals.Sum() - expected.GreatestLine.Sum()) / (double)expected.LastOrdinals.Length}", $"{report.RollbackDistanceMean}"),
            ("nodes of the domino effect", $"{expected.LastOrdinals.Zip(expected.GreatestLine).Count(node => node.Second == 0 && node.First > 0)}", $"{report.DominoNodes}"),
            ("nodes that a failure takes back", $"{expected.SingleFailureNodesMax}", $"{report.SingleFailureNodesMax}"),
            ("findings counted", $"{report.Findings.Count}", $"{report.Counts.Values.Sum()}"),
        ];

        // Clocks have what was undone, too, and a checker that has settled does not look at all lines again.
        SortedSet<string> wanted = new(expected.Findings, StringComparer.Ordinal), found = new(report.Findings.SelectMany(finding => Texts(report.Header, finding)), StringComparer.Ordinal);
        if (settled || expected.OrphansStand)
        {
            foreach (SortedSet<string> texts in new[] { wanted, found })
            {
                _ = texts.RemoveWhere(text => text is nameof(FindingKind.ClocksDisagree) or nameof(FindingKind.NotTrackable));
            }
        }
        else
        {
            compared.Add(("not trackable", $"{expected.Untrackable}", $"{report.Untrackable}"));
        }

        compared.Add(("sound", $"{wanted.Count == 0}", $"{(settled ? found.Count == 0 : report.Sound)}"));
        compared.Add(("findings", string.Join("; ", wanted.Except(found)), string.Join("; ", found.Except(wanted))));
        return compared.Where(item => item.Expected != item.Found)
            .Select(item => $"{item.What}{(settled ? " (settled)" : "")}: the second judge says '{item.Expected}', the checker '{item.Found}'")
            .FirstOrDefault();
    }

    // One for each line.
    private static IEnumerable<string> Texts(TraceHeader header, Finding finding)
    {
        if (finding.Kind is FindingKind.ClocksDisagree or FindingKind.Useless or FindingKind.NotTrackable)
        {
            return [$"{finding.Kind}"];
        }

        int[] nodes = [.. Nodes().Matches(finding.Text).Select(match => int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture))];
        int? from = nodes.Length > 1 ? nodes[1] : null;
        if (finding.Text.Contains("given line", StringComparison.Ordinal) || finding.Kind == FindingKind.NotReplayed)
        {
            long? message = finding.Kind == FindingKind.NotReplayed ? long.Parse(Numbers().Match(finding.Text).Groups[1].ValueSpan, CultureInfo.InvariantCulture) : null;
            return [SecondJudge.Text(finding.Kind, nodes[0], from, message, null)];
        }

        bool late = finding.Kind == FindingKind.Orphan && header.Line == LineRule.LastBeforeReaching;
        long? record = late || finding.Record == 0 ? null : finding.Record;
        Match lines = Lines().Match(finding.Text);
        if (!lines.Success)
        {
            return [SecondJudge.Text(finding.Kind, nodes[0], from, record, 0)];
        }

        int first = int.Parse(lines.Groups[1].ValueSpan, CultureInfo.InvariantCulture), last = int.Parse(lines.Groups[2].ValueSpan, CultureInfo.InvariantCulture);
        return Enumerable.Range(first, last - first + 1).Select(k => SecondJudge.Text(finding.Kind, nodes[0], from, record, k));
    }

    [GeneratedRegex("node ([0-9]+)")]
    private static partial Regex Nodes();

    [GeneratedRegex("message ([0-9]+)")]
    private static partial Regex Numbers();

    [GeneratedRegex("lines ([0-9]+) to ([0-9]+)")]
    private static partial Regex Lines();
}
