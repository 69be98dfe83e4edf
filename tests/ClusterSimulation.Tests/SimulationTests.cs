using Xunit;

namespace XenTwoLevelCkpt.ClusterSimulation.Tests;

/// <summary>Whole clusters by seed. Many more of them is <c>./dev simulate --seeds N</c>.</summary>
public sealed class SimulationTests
{
    private const int Seeds = 2_000;

    [Fact]
    public void Clusters_come_back_whole_from_all_that_happens_to_them()
    {
        using var output = new StringWriter();
        int code = SimulationProgram.Run(["--seeds", $"{Seeds}"], output, TextWriter.Null);
        TestContext.Current.SendDiagnosticMessage(output.ToString());
        Assert.True(code == 0, output.ToString());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(23)]
    public void The_same_seed_gives_the_same_run(int seed)
    {
        Assert.Equal(Notes(), Notes());

        string[] Notes()
        {
            using var simulation = new Simulation(new SimulationPlan(seed));
            simulation.Run();
            return [.. simulation.Notes, $"{simulation.Events} {simulation.Outcome}"];
        }
    }

    [Fact]
    public void Runs_have_what_they_are_there_for()
    {
        (int recoveries, int lost, long records) = (0, 0, 0);
        for (int seed = 1; seed <= 50; seed++)
        {
            Assert.Null(SimulationProgram.Try(new SimulationPlan(seed), out SimulationOutcome outcome, out _));
            recoveries += outcome.Recoveries;
            lost += outcome.Lost;
            records += outcome.Records;
        }

        Assert.True(recoveries > 50, $"{recoveries} recoveries");
        Assert.True(lost > 25, $"{lost} hosts lost");
        Assert.True(records > 25_000, $"{records} records");
    }

    [Fact]
    public void A_run_that_fails_is_told_with_its_seed()
    {
        using var output = new StringWriter();
        Assert.Equal(0, SimulationProgram.Run(["--seed", "5"], output, TextWriter.Null));
        Assert.Contains("seed 5:", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("saves checkpoint 2", output.ToString(), StringComparison.Ordinal);
        Assert.EndsWith("simulation: OK" + Environment.NewLine, output.ToString(), StringComparison.Ordinal);
    }
}
