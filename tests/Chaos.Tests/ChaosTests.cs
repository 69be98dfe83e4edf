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
}
