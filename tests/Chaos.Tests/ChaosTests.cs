using Xunit;

namespace XenTwoLevelCkpt.Chaos.Tests;

public class ChaosTests
{
    [Fact]
    public Task A_cluster_to_which_things_happen_loses_no_money() => RunAsync(
        nodes: 3, seed: 6, countEvery: 3, "money counted 2 times",
        [Fault.Kill],
        [Fault.StallLink, Fault.Terminate],
        [Fault.CutLink, Fault.KillInRecovery],
        [Fault.StorageFull],
        [Fault.StoreAway, Fault.KillLeader],
        [Fault.CollectGarbage, Fault.SlowLink, Fault.GiveUpRecovery]);

    [Fact]
    public Task The_guests_of_lost_nodes_go_on_with_all_their_money() => RunAsync(
        nodes: 4, seed: 8, countEvery: 2, "2 nodes lost",
        [Fault.LoseNode],
        [Fault.Kill],
        [Fault.CollectGarbage],
        [Fault.CutLink, Fault.LoseNode, Fault.Recover],
        [Fault.Terminate]);

    private static async Task RunAsync(
        int nodes, int seed, int countEvery, string says, params IReadOnlyList<IReadOnlyList<Fault>> plan)
    {
        var output = new StringWriter();
        bool well = await ChaosProgram.RunAsync(
            new ChaosOptions
            {
                Nodes = nodes,
                Rounds = plan.Count,
                Seed = seed,
                CountEvery = countEvery,
                Plan = plan,
                Folder = Directory.CreateTempSubdirectory("xtl-chaos-").FullName,
            },
            output, output, TestContext.Current.CancellationToken);
        Assert.True(well && output.ToString().Contains(says, StringComparison.Ordinal), output.ToString());
    }
}
