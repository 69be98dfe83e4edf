using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Recovery;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>What every protocol promises, over random runs.</summary>
public class FamilyTests
{
    public static TheoryData<string> All => [.. ProtocolFamily.All.Select(traits => traits.Name)];

    public static TheoryData<string> WithoutUseless =>
        [.. ProtocolFamily.All.Where(traits => traits.NoUselessCheckpoints).Select(traits => traits.Name)];

    public static TheoryData<string> Trackable =>
        [.. ProtocolFamily.All.Where(traits => traits.RollbackDependencyTrackable).Select(traits => traits.Name)];

    [Fact]
    public void The_promises_are_those_of_the_papers()
    {
        Assert.Equal(
            ["bcs", "bcs-aftersend", "lazy-bcs", "manivannan-singhal", "bqf", "hmnr", "fdas", "fdi", "nras", "cas", "cbr", "chandy-lamport"],
            ProtocolFamily.All.Where(traits => traits.NoUselessCheckpoints).Select(traits => traits.Name));
        Assert.Equal(
            ["fdas", "fdi", "nras", "cas", "cbr"],
            ProtocolFamily.All.Where(traits => traits.RollbackDependencyTrackable).Select(traits => traits.Name));
    }

    [Theory]
    [MemberData(nameof(All))]
    public void The_line_of_each_index_has_no_orphan(string protocol) => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        Outcome run = RunUse.Run(protocol, schedule);
        IntervalDependency[] dependencies = run.Dependencies;
        for (long k = 0; k <= run.Indices.Max() + 1; k++)
        {
            Assert.Equal(0, Reference.Orphans(run, RecoveryLine.Find(run.Header.Line, k, run.Checkpoints, dependencies)));
        }
    }).Check(Properties.Quiet.WithMaxTest(200));

    [Theory]
    [MemberData(nameof(All))]
    public void The_greatest_line_at_or_before_any_checkpoints_has_no_orphan_and_nothing_above_it(string protocol) => Prop.ForAll(
        Properties.Schedules(nodes: 3, steps: 60), schedule =>
        {
            Outcome run = RunUse.Run(protocol, schedule);
            IntervalDependency[] dependencies = run.Dependencies;
            for (long k = 0; k <= run.Checkpoints.Max(checkpoints => checkpoints.Count); k++)
            {
                long[] latest = Array.ConvertAll(run.Checkpoints, checkpoints => Math.Min(k, checkpoints.Count));
                long[] line = RecoveryLine.Greatest(latest, dependencies);
                Assert.Equal(0, Reference.Orphans(run, line));
                AssertNoneAbove(run, line, latest);
            }
        }).Check(Properties.Quiet.WithMaxTest(60));

    [Theory]
    [MemberData(nameof(WithoutUseless))]
    public void No_checkpoint_is_useless(string protocol) => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        CheckReport report = RunUse.Run(protocol, schedule).Check();
        Assert.Equal(0, report.Useless);
        AssertSound(report);
    }).Check(Properties.Quiet.WithMaxTest(500));

    [Theory]
    [MemberData(nameof(Trackable))]
    public void Rollback_dependencies_are_trackable(string protocol) => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        CheckReport report = RunUse.Run(protocol, schedule).Check();
        Assert.Equal(0, report.Untrackable);
    }).Check(Properties.Quiet.WithMaxTest(200));

    [Theory]
    [MemberData(nameof(All))]
    public void A_run_with_failures_recovers_to_a_sound_history(string protocol) => Prop.ForAll(
        Properties.Schedules(nodes: 4, steps: 250), schedule =>
        {
            CheckReport report = RunUse.Run(protocol, schedule, failures: true).Check();
            AssertSound(report);
        }).Check(Properties.Quiet.WithMaxTest(300));

    [Theory]
    [MemberData(nameof(All))]
    public void The_same_schedule_gives_the_same_run(string protocol) => Prop.ForAll(Properties.Schedules(), schedule =>
        Assert.Equal(RunUse.Run(protocol, schedule, true).Events, RunUse.Run(protocol, schedule, true).Events))
        .Check(Properties.Quiet.WithMaxTest(20));

    [Fact]
    public void A_name_that_is_not_there_is_answered_with_those_that_are()
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => RunUse.Run("bcf", new Schedule(2, [])));
        Assert.StartsWith("unknown protocol 'bcf'; known are bcs, bcs-aftersend, lazy-bcs,", e.Message, StringComparison.Ordinal);
    }

    internal static void AssertSound(CheckReport report) =>
        Assert.True(report.Sound, string.Join("; ", report.Findings.Select(finding => $"{finding.Kind} at {finding.Record}: {finding.Text}")));

    // Greatest lines form a lattice, so raising any one member must break the line or meet its bound; raising all at
    // once is tried too.
    private static void AssertNoneAbove(Outcome run, long[] line, long[] latest)
    {
        long[] other = new long[line.Length];
        Try(0);

        void Try(int node)
        {
            if (node < line.Length)
            {
                for (other[node] = line[node]; other[node] <= latest[node]; other[node]++)
                {
                    Try(node + 1);
                }
            }
            else if (!other.SequenceEqual(line))
            {
                Assert.NotEqual(0, Reference.Orphans(run, other));
            }
        }
    }
}
