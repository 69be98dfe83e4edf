using Xunit;

namespace XenTwoLevelCkpt.Chaos.Tests;

public class ChaosTests
{
    [Fact]
    public async Task A_cluster_to_which_things_happen_loses_no_money()
    {
        var output = new StringWriter();
        bool well = await ChaosProgram.RunAsync(
            new ChaosOptions
            {
                Rounds = 6,
                Seed = 6,
                CountEvery = 3,
                Plan =
                [
                    [Fault.Kill],
                    [Fault.StallLink, Fault.Terminate],
                    [Fault.CutLink, Fault.KillInRecovery],
                    [Fault.StorageFull],
                    [Fault.StoreAway, Fault.KillLeader],
                    [Fault.CollectGarbage, Fault.SlowLink, Fault.GiveUpRecovery],
                ],
                Folder = Directory.CreateTempSubdirectory("xtl-chaos-").FullName,
            },
            output, output, TestContext.Current.CancellationToken);
        Assert.True(well, output.ToString());
    }

    [Fact]
    public async Task The_guests_of_lost_nodes_go_on_with_all_their_money()
    {
        var output = new StringWriter();
        bool well = await ChaosProgram.RunAsync(
            new ChaosOptions
            {
                Nodes = 4,
                Rounds = 5,
                Seed = 8,
                CountEvery = 2,
                Plan =
                [
                    [Fault.LoseNode],
                    [Fault.Kill],
                    [Fault.CollectGarbage],
                    [Fault.CutLink, Fault.LoseNode, Fault.Recover],
                    [Fault.Terminate],
                ],
                Folder = Directory.CreateTempSubdirectory("xtl-chaos-").FullName,
            },
            output, output, TestContext.Current.CancellationToken);
        Assert.True(well && output.ToString().Contains("2 nodes lost", StringComparison.Ordinal), output.ToString());
    }
}
