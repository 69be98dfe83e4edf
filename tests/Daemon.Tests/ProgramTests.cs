using System.Diagnostics;
using System.Text.Json;
using Grpc.Core;
using XenTwoLevelCkpt.Daemon.Tests.Service;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.Images.Verification;
using XenTwoLevelCkpt.Rpc;
using XenTwoLevelCkpt.Rpc.Tests;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>The program itself, on a model whose guests live and die with it.</summary>
public sealed class ProgramTests : IDisposable
{
    private const int Kills = 8;

    // Debian's packages are this interpreter's, whatever other one comes first on PATH.
    private const string Python = "/usr/bin/python3";

    private readonly string _folder = Directory.CreateTempSubdirectory("xtl-program-").FullName;

    private readonly List<int> _started = [];

    private string Socket => Path.Combine(_folder, "control.sock");

    private string Store => Path.Combine(_folder, "store");

    // A test that failed has left its daemon, which holds what the tests print to.
    public void Dispose()
    {
        foreach (int id in _started)
        {
            try
            {
                using Process process = Process.GetProcessById(id);
                if (process.ProcessName is "dotnet")
                {
                    process.Kill();
                    process.WaitForExit();
                }
            }
            catch (ArgumentException)
            {
                // It has ended.
            }
        }

        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task A_wrong_start_says_what_is_wrong()
    {
        (int code, string _, string error) = await RunAsync("--none");
        Assert.Equal(64, code);
        Assert.Contains("--none", error, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(_folder, "wrong.json"), """{"keep": 0, "hypervisor": "kvm"}""");
        (code, _, error) = await RunAsync("--config", Path.Combine(_folder, "wrong.json"));
        Assert.Equal(78, code);
        Assert.Equal(2, error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        (code, _, error) = await RunAsync("--config", Path.Combine(_folder, "none.json"));
        Assert.Equal(78, code);
        Assert.Contains("none.json", error, StringComparison.Ordinal);
        (code, string output, _) = await RunAsync("--config", Configure("off"), "--check");
        Assert.Equal(0, code);
        Assert.Contains("nothing wrong", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_daemon_that_is_told_to_end_ends_in_order_and_only_one_serves()
    {
        using Process daemon = Start("off");
        using RpcChannel channel = RpcChannel.ForUnixSocket(Socket);
        var client = new NodeControl.NodeControlClient(channel.Invoker);
        await ReadyAsync(client);
        (int code, _, string error) = await RunAsync("--config", Path.Combine(_folder, "c.json"));
        Assert.Equal(75, code);
        Assert.Contains("Another daemon", error, StringComparison.Ordinal);
        (code, _, _) = await RunAsync("--config", Path.Combine(_folder, "c.json"), "--socket", Path.Combine(_folder, "other.sock"));
        Assert.Equal(75, code);
        Kill(daemon, "TERM");
        await daemon.WaitForExitAsync();
        Assert.Equal(0, daemon.ExitCode);
        Assert.False(File.Exists(Socket));
        Assert.Empty(Directory.GetFiles(Path.Combine(_folder, "state"), "intent.json"));
    }

    [Fact]
    public async Task A_daemon_that_is_killed_at_any_moment_goes_on_where_it_was()
    {
        var random = new Random(20260504);
        ulong sn = 0;
        for (int i = 0; i < Kills; i++)
        {
            using Process daemon = Start("1s");
            using RpcChannel channel = RpcChannel.ForUnixSocket(Socket);
            var client = new NodeControl.NodeControlClient(channel.Invoker);
            Node node = await ReadyAsync(client);
            Assert.True(node.Sn >= sn, $"the index was {sn} and is {node.Sn}");
            using AsyncServerStreamingCall<CheckpointUpdate> call = client.Checkpoint(new CheckpointRequest());
            try
            {
                // In the middle of this checkpoint, or of one after it.
                for (int steps = random.Next(8); steps > 0; steps--)
                {
                    if (await call.ReadAsync() is not { } update)
                    {
                        break;
                    }

                    sn = update.Report?.Index ?? sn;
                }

                Thread.SpinWait(random.Next(2_000_000));
            }
            finally
            {
                Kill(daemon, "KILL");
                await daemon.WaitForExitAsync();
            }

            using DirectoryStore store = DirectoryStore.OpenReadOnly(Store);
            Assert.Empty(Verifier.VerifyStore(store));
            Assert.Equal(store.Checkpoints.Select(m => m.Closing.Index).Distinct().Order(), store.Checkpoints.Select(m => m.Closing.Index));
        }
    }

    [Fact]
    public async Task A_recovery_in_which_the_daemon_is_killed_can_be_asked_for_again()
    {
        var random = new Random(7);
        for (ulong incarnation = 1; incarnation <= 4; incarnation++)
        {
            var request = new RecoverRequest { Incarnation = incarnation };
            using (Process daemon = Start("off"))
            {
                using RpcChannel channel = RpcChannel.ForUnixSocket(Socket);
                var client = new NodeControl.NodeControlClient(channel.Invoker);
                Node node = await ReadyAsync(client);
                for (int i = 0; i < 3; i++)
                {
                    using AsyncServerStreamingCall<CheckpointUpdate> call = client.Checkpoint(new CheckpointRequest());
                    _ = await TestNode.AllAsync(call);
                }

                request.Line = node.Sn + 2;
                Task recover = client.RecoverAsync(request).ResponseAsync;
                await Task.Delay(random.Next(60));
                Kill(daemon, "KILL");
                await daemon.WaitForExitAsync();
                _ = await Record.ExceptionAsync(() => recover);
            }

            using (Process daemon = Start("off"))
            {
                using RpcChannel channel = RpcChannel.ForUnixSocket(Socket);
                var client = new NodeControl.NodeControlClient(channel.Invoker);
                while ((await DescribeAsync(client)).State is not (NodeState.Ready or NodeState.Recovering))
                {
                    await Task.Delay(20);
                }

                RecoverResponse done = await client.RecoverAsync(request);
                Assert.Equal((RecoverAction.RollBack, request.Line), (done.Action, done.Index));
                Assert.Equal(done, await client.RecoverAsync(request));
                Node node = await ReadyAsync(client);
                Assert.Equal((request.Line, incarnation, 2u), (node.Sn, node.Incarnation, node.Domains));
                Kill(daemon, "TERM");
                await daemon.WaitForExitAsync();
            }

            using DirectoryStore store = DirectoryStore.OpenReadOnly(Store);
            Assert.Equal(request.Line, store.Checkpoints[^1].Closing.Index);
            Assert.Empty(Verifier.VerifyStore(store));
        }
    }

    [Fact]
    public async Task Python_calls_the_daemon_from_the_contract_alone()
    {
        Assert.SkipUnless(
            (await RunAsync(Python, ["-c", "import grpc, google.protobuf"])).Code == 0 && File.Exists("/usr/bin/protoc")
                && File.Exists("/usr/include/google/protobuf/duration.proto"),
            "python3-grpcio, python3-protobuf, protobuf-compiler or libprotobuf-dev is missing; './dev setup' installs them.");
        using Process daemon = Start("off");
        using RpcChannel channel = RpcChannel.ForUnixSocket(Socket);
        await ReadyAsync(new NodeControl.NodeControlClient(channel.Invoker));
        (int code, string output, string error) = await RunAsync(Python, [
            Path.Combine(AppContext.BaseDirectory, "Peer/peer.py"), "unix:" + Socket,
            Path.Combine(AppContext.BaseDirectory, "proto"), "daemon",
        ]);
        Assert.True(code == 0, error);
        Dictionary<string, JsonElement> told = output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => JsonDocument.Parse(line).RootElement)
            .ToDictionary(e => e.GetProperty("tag").GetString()!);
        foreach (var method in NodeControlReflection.Descriptor.Services[0].Methods)
        {
            Assert.True(told[method.Name].GetProperty("code").GetString() == "OK", told[method.Name].GetRawText());
            Assert.NotEqual(0, told[method.Name].GetProperty("responses").GetArrayLength());
        }

        Assert.Equal("größe", told["Checkpoint"].GetProperty("responses").EnumerateArray().Last()
            .GetProperty("report").GetProperty("label").GetString());
        Assert.Equal("1", told["Recover"].GetProperty("responses")[0].GetProperty("index").GetString());
        foreach ((string tag, string status, string reason) in new[]
        {
            ("not found", "NOT_FOUND", "CHECKPOINT"), ("label", "INVALID_ARGUMENT", "LABEL"), ("domain", "NOT_FOUND", "DOMAIN"),
            ("exists", "ALREADY_EXISTS", "DOMAIN"), ("incarnation", "INVALID_ARGUMENT", "INCARNATION"), ("line", "FAILED_PRECONDITION", "LINE"),
            ("garbage", "FAILED_PRECONDITION", "LINE"),
        })
        {
            Assert.Equal(status, told[tag].GetProperty("code").GetString());
            Assert.Equal(reason, told[tag].GetProperty("details")[0].GetProperty("reason").GetString());
        }

        Kill(daemon, "TERM");
        await daemon.WaitForExitAsync();
    }

    [Fact]
    public async Task The_service_manager_is_told_how_the_daemon_is()
    {
        using var manager = new NotifySocket(Path.Combine(_folder, "notify.sock"));
        using Process daemon = Start("off", ("NOTIFY_SOCKET", Path.Combine(_folder, "notify.sock")), ("WATCHDOG_USEC", "1000000"));
        Assert.Equal("EXTEND_TIMEOUT_USEC=120000000\nSTATUS=Opens the hypervisor", manager.Wait("EXTEND_TIMEOUT_USEC="));
        Assert.Equal("READY=1\nSTATUS=Ready: index 0, 0 checkpoints", manager.Wait("READY=1"));
        using RpcChannel channel = RpcChannel.ForUnixSocket(Socket);
        var client = new NodeControl.NodeControlClient(channel.Invoker);
        using (AsyncServerStreamingCall<CheckpointUpdate> call = client.Checkpoint(new CheckpointRequest()))
        {
            _ = await TestNode.AllAsync(call);
        }

        _ = manager.Wait("STATUS=Ready: index 1, 1 checkpoints");
        _ = manager.Wait("WATCHDOG=1");
        _ = manager.Wait("WATCHDOG=1");

        // The registers of the next checkpoint go into a pipe that nobody reads: the loop hangs.
        string draft = Assert.Single(Directory.GetDirectories(Store, "*.tmp"));
        string pipe = Path.Combine(draft, $"{(await client.ListDomainsAsync(new ListDomainsRequest())).Domains.First(d => d.Id != 0).Uuid}.reg");
        MakePipe(pipe);
        using AsyncServerStreamingCall<CheckpointUpdate> hanging = client.Checkpoint(new CheckpointRequest());
        manager.WaitForSilence();
        Assert.Contains(manager.Received, m => m.Contains("STATUS=Checkpointing", StringComparison.Ordinal));
        File.Delete(pipe);
        Kill(daemon, "TERM");
        Assert.Equal("STOPPING=1\nEXTEND_TIMEOUT_USEC=120000000\nSTATUS=Stops", manager.Wait("STOPPING=1"));
        Kill(daemon, "KILL");
        await daemon.WaitForExitAsync();
    }

    [Fact]
    public async Task A_slow_start_is_given_time_while_it_goes_on()
    {
        // Manifests that come when somebody writes them.
        string[] manifests = [.. Enumerable.Range(1, 3).Select(i => Path.Combine(Store, $"{i:D20}", "manifest.json"))];
        foreach (string manifest in manifests)
        {
            _ = Directory.CreateDirectory(Path.GetDirectoryName(manifest)!);
            MakePipe(manifest);
        }

        using var manager = new NotifySocket(Path.Combine(_folder, "notify.sock"));
        using Process daemon = Start("off", ("NOTIFY_SOCKET", Path.Combine(_folder, "notify.sock")));
        _ = manager.Wait("STATUS=Reads the store");
        foreach (string manifest in manifests)
        {
            // Nothing goes on, and nothing is told.
            manager.WaitForSilence();
            int before = manager.Received.Count;
            // The daemon has it open: .NET's locks are meant for files.
            new FileStream(manifest, FileMode.Open, FileAccess.Write, FileShare.ReadWrite).Dispose();
            Assert.DoesNotContain(manager.Received.Skip(before), m => m.Contains("READY", StringComparison.Ordinal));
            if (manifest != manifests[^1])
            {
                _ = manager.Wait("EXTEND_TIMEOUT_USEC=120000000");
            }
        }

        _ = manager.Wait("READY=1");
        Kill(daemon, "TERM");
        _ = manager.Wait("STOPPING=1");
        await daemon.WaitForExitAsync();
        Assert.Equal(0, daemon.ExitCode);
    }

    [Fact]
    public async Task A_service_manager_that_is_gone_ends_nothing()
    {
        using Process daemon = Start("off", ("NOTIFY_SOCKET", Path.Combine(_folder, "none.sock")), ("WATCHDOG_USEC", "200000"));
        using RpcChannel channel = RpcChannel.ForUnixSocket(Socket);
        _ = await ReadyAsync(new NodeControl.NodeControlClient(channel.Invoker));
        Kill(daemon, "TERM");
        await daemon.WaitForExitAsync();
        Assert.Equal(0, daemon.ExitCode);
    }

    private static void MakePipe(string path)
    {
        using Process made = Process.Start("/usr/bin/mkfifo", [path]);
        made.WaitForExit();
        Assert.Equal(0, made.ExitCode);
    }

    private static async Task<Node> DescribeAsync(NodeControl.NodeControlClient client)
    {
        while (true)
        {
            try
            {
                return await client.GetNodeAsync(new GetNodeRequest());
            }
            catch (StatusException e) when (e.Code == StatusCode.Unavailable)
            {
                await Task.Delay(20);
            }
        }
    }

    private static async Task<Node> ReadyAsync(NodeControl.NodeControlClient client)
    {
        while (true)
        {
            if (await DescribeAsync(client) is { State: NodeState.Ready or NodeState.Checkpointing } node)
            {
                return node;
            }

            await Task.Delay(20);
        }
    }

    private static void Kill(Process process, string signal) =>
        Process.Start("/bin/kill", [$"-{signal}", $"{process.Id}"]).WaitForExit();

    private string Configure(string interval)
    {
        string file = Path.Combine(_folder, "c.json");
        File.WriteAllText(file, $$"""
            {
              "node": "alpha", "store": "{{Store}}", "state": "{{Path.Combine(_folder, "state")}}", "controlSocket": "{{Socket}}",
              "basicInterval": "{{interval}}", "hypervisor": "model", "staging": "8M",
              "model": {"guests": 2, "memory": "8M", "stepsPerSecond": 200}
            }
            """);
        return file;
    }

    private static string[] Command => [Path.Combine(AppContext.BaseDirectory, "xtlckptd.dll")];

    private Process Start(string interval, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo("dotnet", [.. Command, "--config", Configure(interval)])
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        Process process = Process.Start(start)!;

        // A pipe that nobody reads would stop the daemon's log.
        process.BeginOutputReadLine();
        _started.Add(process.Id);
        return process;
    }

    private static Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments) =>
        RunAsync("dotnet", [.. Command, .. arguments]);

    private static async Task<(int Code, string Output, string Error)> RunAsync(string program, IEnumerable<string> arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await error);
    }
}
