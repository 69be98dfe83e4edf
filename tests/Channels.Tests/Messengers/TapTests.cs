using System.Collections.Concurrent;
using System.Diagnostics;
using System.Security.Cryptography;
using Xunit;

namespace XenTwoLevelCkpt.Channels.Tests;

/// <summary>Taps in network namespaces of their own, whose kernels are the guests. For root only.</summary>
public sealed class TapTests(ITestOutputHelper output)
{
    private const int TransferLength = 32 << 20;

    [Fact]
    public async Task Two_kernels_speak_through_two_messengers_while_checkpoints_are_taken()
    {
        Assert.SkipUnless(CanMakeTaps, "Only root makes taps and network namespaces.");
        string id = Environment.ProcessId.ToString("x", System.Globalization.CultureInfo.InvariantCulture);
        string[] spaces = [$"xtla{id}", $"xtlb{id}"];
        DirectoryInfo folder = Directory.CreateTempSubdirectory("tap-test-");
        var errors = new ConcurrentQueue<string>();
        try
        {
            PromptCheckpoints[] checkpoints = [new(), new()];
            var uplinks = new TapUplink[2];
            for (int i = 0; i < 2; i++)
            {
                await RunAsync("ip", "netns", "add", spaces[i]);
                uplinks[i] = TapUplink.Open($"xt{i}{id}", bridge: null);
                await RunAsync("ip", "link", "set", uplinks[i].Name, "netns", spaces[i]);
                await RunAsync("ip", "-n", spaces[i], "addr", "add", $"10.99.0.{i + 1}/24", "dev", uplinks[i].Name);
                await RunAsync("ip", "-n", spaces[i], "link", "set", uplinks[i].Name, "up");
            }

            await using NodeMessenger second = Make(1, port: 1, checkpoints[1], uplinks[1], folder, errors);
            await using MessengerHost host = await MessengerHost.StartAsync(second, new Collector(errors));
            second.Start();
            await using NodeMessenger first = Make(0, host.Port, checkpoints[0], uplinks[0], folder, errors);
            first.Start();

            // A kernel gives up an address that nobody answers for in 3 s.
            while (!first.Peers.All(peer => peer.Connected))
            {
                await Task.Delay(10);
            }

            if (File.Exists("/usr/bin/busybox"))
            {
                output.WriteLine(await RunAsync(
                    "ip", "netns", "exec", spaces[0], "busybox", "ping", "-c", "3", "-i", "0.2", "-W", "120", "10.99.0.2"));
            }

            string source = Path.Combine(folder.FullName, "source");
            string target = Path.Combine(folder.FullName, "target");
            byte[] octets = new byte[TransferLength];
            new Random(1).NextBytes(octets);
            await File.WriteAllBytesAsync(source, octets);
            using var ticking = new CancellationTokenSource();
            Task ticks = TickAsync(first, second, ticking.Token);
            Task<string> listening = RunAsync(
                "ip", "netns", "exec", spaces[1], "socat", "-u", "TCP-LISTEN:5000,bind=10.99.0.2", $"CREATE:{target}");
            await RunAsync(
                "ip", "netns", "exec", spaces[0], "socat", "-u", $"OPEN:{source}", "TCP:10.99.0.2:5000,retry=1200,interval=0.1");
            _ = await listening;
            await ticking.CancelAsync();
            await ticks;
            Assert.Equal(SHA256.HashData(octets), SHA256.HashData(await File.ReadAllBytesAsync(target)));
            Assert.Empty(errors);
            Assert.All(checkpoints, c => Assert.Empty(c.Errors));
            Assert.True(checkpoints[0].Taken > 0 && checkpoints[1].Taken > 0);
            output.WriteLine($"{TransferLength >> 20} MiB; {checkpoints[0].Taken} and {checkpoints[1].Taken} checkpoints");
            await first.DisposeAsync();
            await second.DisposeAsync();
            Array.ForEach(uplinks, uplink => uplink.Dispose());
        }
        finally
        {
            foreach (string space in spaces)
            {
                await RunAsync("ip", "netns", "del", space);
            }

            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_tap_is_a_port_of_a_bridge_until_it_is_closed()
    {
        Assert.SkipUnless(CanMakeTaps, "Only root makes taps and network namespaces.");
        string id = Environment.ProcessId.ToString("x", System.Globalization.CultureInfo.InvariantCulture);
        string bridge = $"xtlbr{id}";
        await RunAsync("ip", "link", "add", bridge, "mtu", "9000", "type", "bridge");
        try
        {
            using (var uplink = TapUplink.Open($"xtp{id}", bridge, queueLength: 77))
            {
                string shown = await RunAsync("ip", "link", "show", uplink.Name);

                // Of guests with jumbo frames: with its own 1,500 they would vanish at this port, or be taken from all.
                Assert.Contains("mtu 9000", shown, StringComparison.Ordinal);
                Assert.Contains("mtu 9000", await RunAsync("ip", "link", "show", bridge), StringComparison.Ordinal);
                Assert.Contains($"master {bridge}", shown, StringComparison.Ordinal);
                Assert.Contains("qlen 77", shown, StringComparison.Ordinal);
                Assert.Contains("UP", shown, StringComparison.Ordinal);
                Assert.Equal(10, uplink.HeaderSize);
                IOException taken = Assert.Throws<IOException>(() => TapUplink.Open(uplink.Name, null));
                Assert.Contains("EBUSY", taken.Message, StringComparison.Ordinal);
            }

            Assert.False(Directory.Exists($"/sys/class/net/xtp{id}"));
            IOException missing = Assert.Throws<IOException>(() => TapUplink.Open($"xtp{id}", "nosuchbridge"));
            Assert.Contains("nosuchbridge", missing.Message, StringComparison.Ordinal);
            Assert.False(Directory.Exists($"/sys/class/net/xtp{id}"));
        }
        finally
        {
            await RunAsync("ip", "link", "del", bridge);
        }
    }

    private static bool CanMakeTaps =>
        Environment.UserName == "root" && File.Exists("/dev/net/tun") && File.Exists("/usr/bin/socat");

    private static NodeMessenger Make(
        int i, int port, PromptCheckpoints checkpoints, TapUplink uplink, DirectoryInfo folder, ConcurrentQueue<string> errors)
    {
        checkpoints.Messenger = NodeMessenger.Create("bcs", new NodeMessengerOptions
        {
            Cluster = Guid.Empty,
            Node = $"node{i}",
            Peers = [new PeerAddress($"node{1 - i}", "127.0.0.1", port)],
            LogDirectory = Path.Combine(folder.FullName, $"log{i}"),
        }, uplink, checkpoints, new Collector(errors));
        return checkpoints.Messenger;
    }

    private static async Task TickAsync(NodeMessenger first, NodeMessenger second, CancellationToken end)
    {
        for (int i = 0; !end.IsCancellationRequested; i++)
        {
            _ = (i % 2 == 0 ? first : second).Tick(CheckpointCause.Basic);
            await Task.Delay(20, CancellationToken.None);
        }
    }

    private static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> said = process.StandardOutput.ReadToEndAsync();
        string complained = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {complained}");
        return await said;
    }
}
