using XenTwoLevelCkpt.Protocol.Checking;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Whole messengers over TCP: whatever is cut, fails and is recovered, no money is lost or made, each pair of guests
/// sees each message once and in order, and the checker of traces finds nothing.</summary>
public sealed class MessengerTests(ITestOutputHelper output)
{
    public static TheoryData<string, int, int> Runs => Sizes(seed: 0, step: 1);

    public static TheoryData<string, int, int> Losses => Sizes(seed: 2000, step: 100);

    [Theory]
    [MemberData(nameof(Runs))]
    public async Task A_run_with_cuts_restarts_and_failed_checkpoints_loses_nothing(string protocol, int nodes, int seed)
    {
        await using var cluster = new TestCluster(protocol, nodes, seed);
        await cluster.StartAsync();
        await cluster.LiveAsync(150);

        // On a slow machine the links may have been down for most of it.
        await cluster.ComeAsync(120);
        await cluster.SettleAsync();
        int restarts = cluster.Nodes.Sum(node => node.Restarts);
        CheckReport report = await cluster.JudgeAsync();
        Show(report);
        output.WriteLine($"{restarts} restarts");
        Assert.True(restarts > 0);
        Assert.True(report.Sound, string.Join('\n', report.Findings.Select(f => f.Text)));
        Assert.Equal(0, report.InFlight);
        Assert.True(report.Receives > 50 && report.Basic > 5 && report.CheckpointsFailed > 0, $"{report}");
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public async Task Any_recoveries_lose_nothing(string protocol, int nodes, int seed)
    {
        await using var cluster = new TestCluster(protocol, nodes, seed + 1000);
        await cluster.StartAsync();
        for (int round = 0; round < 8; round++)
        {
            await cluster.LiveAsync(30);
            await cluster.RecoverAsync();
            if (round % 2 == 1)
            {
                await cluster.SettleAsync();
            }
        }

        await cluster.SettleAsync();
        long replayed = cluster.Nodes.Sum(node => node.Replayed);
        CheckReport report = await cluster.JudgeAsync();
        Show(report);
        output.WriteLine($"{replayed} batches replayed");
        Assert.True(report.Sound, string.Join('\n', report.Findings.Select(f => f.Text)));
        Assert.Equal(0, report.InFlight);
        Assert.True(report.Rollbacks > 4, $"{report}");
    }

    [Theory]
    [MemberData(nameof(Losses))]
    public async Task The_guests_of_a_lost_node_go_on_and_nothing_is_lost(string protocol, int nodes, int seed)
    {
        // The index of lazy-bcs does not rise without messages, so that a node that is left alone has the line of the loss for good.
        bool settles = protocol != "lazy-bcs" || nodes > 2;
        long adopted = 0, settled = 0;
        for (int run = 0; run < 20 && (run < 3 || adopted == 0 || (settles && settled == 0)); run++)
        {
            await using var cluster = new TestCluster(protocol, nodes, seed + run);
            await cluster.StartAsync();
            await cluster.LiveAsync(60);
            adopted += await cluster.LoseAsync();
            if (run % 2 == 1)
            {
                await cluster.SettleAsync();
            }

            for (int round = 0; round < 3; round++)
            {
                await cluster.LiveAsync(20);
                await cluster.RecoverAsync();
            }

            await cluster.SettleAsync();
            CheckReport report = await cluster.JudgeAsync();
            Show(report);
            settled += cluster.Settled;
            output.WriteLine($"{adopted} batches, {cluster.Adoptions} times, settled {cluster.Settled} times");
            Assert.True(report.Sound, string.Join('\n', report.Findings.Take(10).Select(f => f.Text)));
            Assert.Equal(0, report.InFlight);
            Assert.True(report.Rollbacks > 0, $"{report}");
        }

        Assert.True(adopted > 0);
        Assert.Equal(settles, settled > 0);
    }

    [Theory]
    [InlineData("bcs", 3, 9000)]
    [InlineData("bcs", 4, 9100)]
    [InlineData("bcs-aftersend", 4, 9200)]
    [InlineData("manivannan-singhal", 4, 9300)]
    [InlineData("lazy-bcs", 4, 9400)]
    public async Task The_guests_of_two_nodes_that_are_lost_together_go_on(string protocol, int nodes, int seed)
    {
        long adopted = 0;
        for (int run = 0; run < 12 && (run < 3 || adopted == 0); run++)
        {
            await using var cluster = new TestCluster(protocol, nodes, seed + run);
            await cluster.StartAsync();
            await cluster.LiveAsync(60);
            adopted += await cluster.LoseAsync(count: 2);
            for (int round = 0; round < 2; round++)
            {
                await cluster.LiveAsync(20);
                await cluster.RecoverAsync();
            }

            await cluster.SettleAsync();
            CheckReport report = await cluster.JudgeAsync();
            Show(report);
            Assert.True(report.Sound, string.Join('\n', report.Findings.Take(10).Select(f => f.Text)));
            Assert.Equal(0, report.InFlight);
        }

        Assert.True(adopted > 0);
    }

    private static TheoryData<string, int, int> Sizes(int seed, int step)
    {
        var runs = new TheoryData<string, int, int>();
        foreach (string protocol in NodeMessenger.Protocols)
        {
            for (int nodes = 2; nodes <= 4; nodes++)
            {
                runs.Add(protocol, nodes, seed += step);
            }
        }

        return runs;
    }

    private void Show(CheckReport report) => output.WriteLine(
        $"{report.Sends} sent, {report.Receives} delivered, {report.Basic} basic, {report.Forced} forced, {report.Other} other, "
        + $"{report.CheckpointsFailed} failed; {report.Rollbacks} rollbacks, {report.CheckpointsUndone} undone, {report.Failures} failures");
}
