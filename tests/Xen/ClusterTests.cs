using System.Text.RegularExpressions;

namespace XenTwoLevelCkpt.XenTests;

/// <summary>Two nodes, and guests of both that talk to each other.</summary>
public sealed partial class ClusterTests
{
    [Theory]
    [InlineData("udp")]
    [InlineData("tcp")]
    public async Task Banks_on_two_nodes_send_each_other_money(string protocol)
    {
        Lab lab = Lab.Shared;
        lab.Do("up", "--nodes", "2");
        // The first card of a node gets the first address behind the Dom0's.
        string name = $"bank-{protocol}";
        lab.Do("guest", "1", "create", name, "--vif", "--app", "bank", "bank.id=0", "bank.peers=1@10.77.2.2", $"bank.proto={protocol}");
        try
        {
            string address = lab.Do("guest", "2", "create", name, "--vif", "--app", "bank", "bank.id=1", "bank.peers=0@10.77.1.2", $"bank.proto={protocol}");
            Assert.Equal($"{name} 10.77.2.2\n", address);

            await Lab.WaitForAsync(
                () => Report(1, name) is { Sent: > 1000, Received: > 1000 } ? "" : null, "money to go both ways");

            // A peer cannot have received what was not sent; what the sender reports later is at least that. A console may
            // lag behind: of the lines that come from now on, the third was made after what was read.
            var first = Report(1, name)!;
            var second = await LaterAsync(2);
            Assert.InRange(first.Received, 1, second.Sent);
            var firstLater = await LaterAsync(1);
            Assert.InRange(second.Received, 1, firstLater.Sent);
            Assert.DoesNotContain(lab.Log(1, name).Concat(lab.Log(2, name)), l => l.Contains("BROKEN", StringComparison.Ordinal));
        }
        finally
        {
            lab.Run("guest", "1", "destroy", name);
            lab.Run("guest", "2", "destroy", name);
        }

        async Task<BankReport> LaterAsync(int node)
        {
            int lines = Reports(node, name).Count;
            return await Lab.WaitForAsync(
                () => Reports(node, name) is { } all && all.Count > lines + 2 ? all[^1] : null, "later reports of a bank");
        }
    }

    private static BankReport? Report(int node, string guest) => Reports(node, guest).LastOrDefault();

    private static List<BankReport> Reports(int node, string guest) =>
        [.. Lab.Shared.Log(node, guest).Select(l => Line().Match(l)).Where(m => m.Success)
            .Select(m => new BankReport(long.Parse(m.Groups[2].Value), long.Parse(m.Groups[3].Value)))];

    [GeneratedRegex(@"^bank \d+ balance (\d+) sent (\d+) received (\d+)")]
    private static partial Regex Line();

    private sealed record BankReport(long Sent, long Received);
}
