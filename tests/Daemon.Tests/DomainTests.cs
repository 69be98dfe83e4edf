using Google.Protobuf.WellKnownTypes;
using Grpc.Core;
using XenTwoLevelCkpt.Control;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>Which domains checkpoints cover, and what is set of them.</summary>
public sealed class DomainTests
{
    [Fact]
    public async Task A_node_on_its_own_leaves_out_what_it_cannot_save_and_names_it_everywhere()
    {
        await using TestNode node = await TestNode.StartAsync();
        Assert.Equal(CoverageState.Pending, (await FindAsync(node, "b")).Coverage.State);
        Guest(node, "b").Pause();

        CheckpointReport report = await node.CheckpointAsync();

        Assert.Equal(["a"], report.Domains.Select(d => d.Name));
        LeftOutDomain told = Assert.Single(report.LeftOut);
        Assert.Equal(("b", "paused"), (told.Name, told.Reason));
        ShowCheckpointResponse shown = await node.Client.ShowCheckpointAsync(new ShowCheckpointRequest { Checkpoint = "latest" });
        Assert.Equal(told, Assert.Single(shown.Checkpoint.LeftOut));
        Assert.Contains(node.Log, l => l.Contains("3019", StringComparison.Ordinal) && l.Contains("b is paused", StringComparison.Ordinal));
        Coverage left = (await FindAsync(node, "b")).Coverage;
        Assert.Equal((CoverageState.LeftOut, "paused", told.Message), (left.State, left.Reason, left.Message));
        Coverage covered = (await FindAsync(node, "a")).Coverage;
        Assert.Equal(CoverageState.Covered, covered.State);
        Assert.Equal(["xvda"], covered.Disks);
        Assert.Null((await FindAsync(node, "Domain-0")).Coverage);
        Guest(node, "b").Unpause();
    }

    [Fact]
    public async Task Xtlctl_names_them_and_ends_with_a_code_of_its_own()
    {
        await using TestNode node = await TestNode.StartAsync();
        Guest(node, "b").Pause();

        (int code, string output) = await XtlctlAsync(node, "checkpoint");
        Assert.Equal(ExitCodes.Partial, code);
        Assert.Contains("not in it: b (paused): Domain b is paused", output, StringComparison.Ordinal);
        (code, output) = await XtlctlAsync(node, "domains");
        Assert.Equal(0, code);
        Assert.Contains("no: paused", output, StringComparison.Ordinal);
        Assert.Contains("yes, with xvda", output, StringComparison.Ordinal);
        Assert.Contains("'xl unpause b' lets it run", output, StringComparison.Ordinal);

        // What is excluded is no news.
        (code, output) = await XtlctlAsync(node, "domain", "set", "b", "--exclude");
        Assert.Equal(0, code);
        Assert.Contains("no: excluded", output, StringComparison.Ordinal);
        Assert.Equal(0, (await XtlctlAsync(node, "checkpoint")).Code);
        Guest(node, "b").Unpause();
    }

    [Fact]
    public async Task What_is_set_of_a_domain_counts_and_outlives_the_daemon()
    {
        await using TestNode node = await TestNode.StartAsync(adjust: s => s with
        {
            Domains = [new DomainEntry("a", new() { WhenUnable = Checkpointing.Node.Selection.UnableRule.Fail, MemoryOnly = true })],
        });
        Domain set = await node.Client.SetDomainAsync(new SetDomainRequest
        {
            Domain = "a",
            Policy = new DomainPolicy { SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromSeconds(45)) },
        });
        Assert.Equal(
            (true, WhenUnable.Fail, 45L), (set.Policy.MemoryOnly, set.Policy.WhenUnable, set.Policy.SuspendTimeout.Seconds));
        await node.StopDaemonAsync();
        await node.StartDaemonAsync();
        Assert.Equal(45, (await FindAsync(node, "a")).Policy.SuspendTimeout.Seconds);

        Guest(node, "a").Pause();
        await TestNode.FailsAsync(StatusCode.Aborted, "HYPERVISOR", () => node.CheckpointAsync());

        _ = await node.Client.SetDomainAsync(new SetDomainRequest
        {
            Domain = "a",
            Policy = new DomainPolicy { WhenUnable = WhenUnable.Skip },
        });
        Assert.Equal("a", Assert.Single((await node.CheckpointAsync()).LeftOut).Name);

        set = await node.Client.SetDomainAsync(new SetDomainRequest { Domain = "a", Reset = true });
        Assert.Null(set.Policy.SuspendTimeout);
        Assert.Equal(WhenUnable.Fail, set.Policy.WhenUnable);
        Guest(node, "a").Unpause();
    }

    [Fact]
    public async Task What_cannot_be_set_is_refused()
    {
        await using TestNode node = await TestNode.StartAsync();
        await TestNode.FailsAsync(StatusCode.NotFound, "DOMAIN", async () => await node.Client.SetDomainAsync(new SetDomainRequest { Domain = "none" }));
        await TestNode.FailsAsync(StatusCode.NotFound, "DOMAIN", async () => await node.Client.SetDomainAsync(new SetDomainRequest { Domain = "Domain-0" }));
        await TestNode.FailsAsync(StatusCode.InvalidArgument, "SUSPEND_TIMEOUT", async () => await node.Client.SetDomainAsync(new SetDomainRequest
        {
            Domain = "a",
            Policy = new DomainPolicy { SuspendTimeout = Duration.FromTimeSpan(TimeSpan.FromHours(2)) },
        }));
        Assert.Equal(64, (await XtlctlAsync(node, "domain", "set", "a", "--include", "--exclude")).Code);
        Assert.Equal(64, (await XtlctlAsync(node, "domain", "set", "a", "--suspend-timeout", "soon")).Code);
        Assert.Equal(64, (await XtlctlAsync(node, "domain", "set", "a", "--when-unable", "panic")).Code);
    }

    private static ModelGuest Guest(TestNode node, string name) => node.Hypervisor.Guests.Single(g => g.Name == name);

    private static async Task<Domain> FindAsync(TestNode node, string name) =>
        (await node.Client.ListDomainsAsync(new ListDomainsRequest())).Domains.Single(d => d.Name == name);

    private static async Task<(int Code, string Output)> XtlctlAsync(TestNode node, params string[] command)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await new App(() => throw new HypervisorException("not asked"), output, error)
            .RunAsync([.. command, "--socket", node.Settings.ControlSocket]);
        return (code, output.ToString());
    }
}
