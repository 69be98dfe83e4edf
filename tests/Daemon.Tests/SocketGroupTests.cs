using System.Diagnostics;
using System.Globalization;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>Who may give orders on the control socket, and who did.</summary>
public sealed class SocketGroupTests
{
    [Fact]
    public async Task The_daemons_own_user_alone_is_let_in()
    {
        await using TestNode node = await TestNode.StartAsync(guests: 1);
        Assert.EndsWith(" 600", await StatAsync(node.Settings.ControlSocket), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_group_is_let_in_where_the_settings_name_one()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "A socket is given to another group by root.");
        await using TestNode node = await TestNode.StartAsync(guests: 1, adjust: s => s with { SocketGroup = "daemon" });
        Assert.Equal("daemon 660", await StatAsync(node.Settings.ControlSocket));
        Assert.Equal("daemon 710", await StatAsync(Path.GetDirectoryName(node.Settings.ControlSocket)!));
    }

    [Fact]
    public async Task The_log_says_who_asked()
    {
        await using TestNode node = await TestNode.StartAsync(guests: 1);
        _ = await node.CheckpointAsync();
        Assert.Contains(
            node.Log,
            line => line.Contains(
                string.Create(CultureInfo.InvariantCulture, $"Checkpoint asked for by {Environment.UserName} (process {Environment.ProcessId})"),
                StringComparison.Ordinal));
    }

    private static async Task<string> StatAsync(string path)
    {
        using Process stat = Process.Start(
            new ProcessStartInfo("stat", ["-c", "%G %a", path]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        string told = await stat.StandardOutput.ReadToEndAsync();
        await stat.WaitForExitAsync();
        return told.Trim();
    }
}
