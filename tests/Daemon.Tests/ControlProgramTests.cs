using XenTwoLevelCkpt.Control;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>xtlctl through a daemon: the same as without one.</summary>
public class ControlProgramTests
{
    private static readonly string[][] Reading =
    [
        ["checkpoints"], ["checkpoints", "--json"], ["show", "latest"],
        ["show", "first", "--json"], ["show", "none"], ["verify"], ["verify", "first", "--json"], ["verify", "none"],
    ];

    [Fact]
    public async Task Commands_print_the_same_with_and_without_a_daemon()
    {
        using var platform = new BrokenPlatform();
        await using TestNode node = await TestNode.StartAsync(before: n => n.Platform = n => platform.Over(n.Hypervisor));
        _ = await node.CheckpointAsync(new CheckpointRequest { Label = "first" });
        _ = await node.CheckpointAsync();
        await CompareAsync();
        ControlTests.Damage(Directory.GetFiles(node.Settings.Store, "*.inm", SearchOption.AllDirectories).Order(StringComparer.Ordinal).First());
        await CompareAsync();

        async Task CompareAsync()
        {
            foreach (string[] command in Reading)
            {
                var direct = await RunAsync(platform, [.. command, "--direct", "--store", node.Settings.Store]);
                var remote = await RunAsync(platform, [.. command, "--socket", node.Settings.ControlSocket]);
                Assert.Equal(direct, remote);
            }
        }
    }

    [Fact]
    public async Task A_recovery_that_nobody_needs_is_not_carried_out_without_a_word()
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await node.CheckpointAsync();
        (int code, _, string error) = await RecoverAsync();
        Assert.Equal(64, code);
        Assert.Contains("No node has failed", error, StringComparison.Ordinal);
        Assert.Contains("'--yes' does that", error, StringComparison.Ordinal);
        Assert.Equal(0UL, (await node.Client.GetNodeAsync(new GetNodeRequest())).Incarnation);

        (code, _, error) = await RecoverAsync("--yes");
        Assert.True(code == 0, error);
        Assert.Equal(1UL, (await node.Client.GetNodeAsync(new GetNodeRequest())).Incarnation);

        async Task<(int Code, string Output, string Error)> RecoverAsync(params string[] more)
        {
            using var output = new StringWriter();
            using var errors = new StringWriter();
            int exit = await new App(() => throw new HypervisorException("not asked"), output, errors).RunAsync(
                ["cluster", "recover", "--node", $"alpha={node.Settings.ControlSocket}", .. more]);
            return (exit, output.ToString(), errors.ToString());
        }
    }

    [Fact]
    public async Task A_daemon_takes_and_restores_what_is_asked_for()
    {
        await using TestNode node = await TestNode.StartAsync();
        (int code, string output, string error) = await ByDaemonAsync("checkpoint", "--label", "one");
        Assert.Equal(0, code);
        Assert.StartsWith("checkpoint ", output, StringComparison.Ordinal);
        Assert.Contains("epoch 1 index 1, pause", output, StringComparison.Ordinal);
        Assert.Equal("one", node.Stored()[0].Closing.Label);
        (code, output, error) = await ByDaemonAsync("node");
        Assert.StartsWith("node alpha, on its own\nstate ready, index 1, durable 1, incarnation 0, protocol bcs\n", output, StringComparison.Ordinal);
        (code, output, _) = await ByDaemonAsync("node", "--json");
        Assert.Contains("\"sn\": \"1\"", output, StringComparison.Ordinal);
        (code, _, error) = await ByDaemonAsync("restore", "latest");
        Assert.Equal(1, code);
        Assert.Contains("There is a domain", error, StringComparison.Ordinal);
        node.DestroyAll();
        (code, output, error) = await ByDaemonAsync("restore", "latest");
        Assert.True(code == 0, error);
        Assert.Contains("domain a runs, with id ", output, StringComparison.Ordinal);
        Assert.Equal(66, (await ByDaemonAsync("checkpoint", "--domain", "none")).Code);
        Assert.Equal(66, (await ByDaemonAsync("restore", "none")).Code);
        Assert.Equal(64, (await ByDaemonAsync("checkpoint", "--cache-entries", "5")).Code);
        Assert.Equal(64, (await ByDaemonAsync("checkpoint", "--direct")).Code);

        Task<(int Code, string Output, string Error)> ByDaemonAsync(params string[] command) =>
            RunAsync(null, [.. command, "--socket", node.Settings.ControlSocket]);
    }

    [Fact]
    public async Task Without_an_answer_it_says_what_to_do()
    {
        string socket = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid()}.sock");
        foreach (string command in new[] { "node", "events", "checkpoint" })
        {
            (int code, string _, string error) = await RunAsync(null, [command, "--socket", socket]);
            Assert.Equal(69, code);
            Assert.Contains(command == "checkpoint" ? "--direct" : "systemctl start xtlckptd", error, StringComparison.Ordinal);
        }
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(IHypervisor? hypervisor, string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = await new App(() => hypervisor!, output, error).RunAsync(args);
        return (code, output.ToString(), error.ToString());
    }
}
