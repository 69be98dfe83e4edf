using System.Diagnostics;
using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using XenTwoLevelCkpt.Rpc.V1;
using Xunit;

namespace XenTwoLevelCkpt.Daemon.Tests;

/// <summary>xtlctl as it is published, as machine code: it prints what the program prints that runs on the runtime.</summary>
public sealed class NativeProgramTests : IDisposable
{
    private const string Variable = "XTL_NATIVE_XTLCTL";

    private static readonly string[] Native = [Environment.GetEnvironmentVariable(Variable) ?? ""];

    private static readonly string[] Managed = ["dotnet", Path.Combine(AppContext.BaseDirectory, "xtlctl-program/xtlctl.dll")];

    private static readonly string[][] Reading =
    [
        ["checkpoints"], ["checkpoints", "--json"], ["show", "latest"], ["show", "first", "--json"], ["show", "none"],
        ["verify"], ["verify", "first", "--json"],
    ];

    private readonly string _folder;

    public NativeProgramTests()
    {
        Assert.SkipUnless(Native[0].Length > 0, $"{Variable} names no published xtlctl; './dev test' publishes it.");
        _folder = Directory.CreateTempSubdirectory("xtl-native-").FullName;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task It_starts_without_a_runtime_and_refuses_wrong_input()
    {
        // A commit's hash stands behind the version.
        (int code, string version, _) = await RunAsync(Native, ["--version"]);
        Assert.Equal((0, "0.1.0"), (code, version.Split('+')[0].Trim()));
        foreach (string[] help in new string[][] { ["--help"], ["checkpoint", "--help"], ["disk", "create", "--help"], ["cluster", "--help"] })
        {
            Assert.Equal(0, await SameAsync(help));
        }

        Assert.Equal(64, await SameAsync("nonsense"));
        Assert.Equal(64, await SameAsync("dirty", "a", "--for", "never"));
        Assert.Equal(64, await SameAsync("cluster", "status", "--node", "alpha"));
        Assert.Equal(66, await SameAsync("checkpoints", "--direct", "--store", Path.Combine(_folder, "none")));
        Assert.Equal(69, await SameAsync("domains", "--direct"));
        Assert.Equal(69, await SameAsync("node", "--socket", Path.Combine(_folder, "none")));
    }

    [Fact]
    public async Task It_reads_and_folds_a_store()
    {
        await using TestNode node = await TestNode.StartAsync();
        _ = await node.CheckpointAsync(new CheckpointRequest { Label = "first" });
        _ = await node.CheckpointAsync();
        foreach (string[] command in Reading)
        {
            Assert.Equal(command[^1] == "none" ? 66 : 0, await SameAsync([.. command, "--direct", "--store", node.Settings.Store]));
        }

        string[] copy = ["--store", Path.Combine(_folder, "copy"), "--state", Path.Combine(_folder, "state")];
        using (Process copying = Process.Start("/bin/cp", ["-r", node.Settings.Store, copy[1]]))
        {
            await copying.WaitForExitAsync();
        }

        (int code, string _, string error) = await RunAsync(Native, ["fold", "--json", .. copy]);
        Assert.True(code == 0, error);
        Assert.Equal(0, await SameAsync(["verify", .. copy]));
        Assert.Equal(0, await SameAsync(["checkpoints", .. copy]));
        ControlTests.Damage(Directory.GetFiles(copy[1], "*.inm", SearchOption.AllDirectories).Order(StringComparer.Ordinal).First());
        Assert.Equal(65, await SameAsync(["verify", .. copy]));
        Assert.Equal(65, await SameAsync(["verify", "--json", .. copy]));
    }

    [Fact]
    public async Task It_reads_the_record_of_disks()
    {
        var registry = new DiskRegistry(_folder);
        var layer = new LayerRecord(1, Guid.NewGuid());
        var directory = new DirectoryRecord(
            "d", Path.Combine(_folder, "d"), 9, [layer], 3, new SealedLayers(layer.SealedBy, 2, 3), null, [5],
            [new KeptLayers([layer], 7, DateTimeOffset.UnixEpoch, layer.SealedBy)], [8]);
        _ = registry.Update(s => s with { Directories = [directory] });
        Assert.Equal(0, await SameAsync("disk", "list", "--state", _folder));
        Assert.Equal(0, await SameAsync("disk", "list", "--json", "--state", _folder));
        File.WriteAllText(registry.Path, "{\"format\":\"xtl-disks\",\"version\":2,\"disks\":{\"more\":1}}");
        Assert.Equal(1, await SameAsync("disk", "list", "--state", _folder));
    }

    [Fact]
    public async Task It_speaks_with_daemons()
    {
        await using TestNode node = await TestNode.StartAsync();
        string[] daemon = ["--socket", node.Settings.ControlSocket];
        (int code, string output, string error) = await RunAsync(Native, ["checkpoint", "--json", "--label", "first", .. daemon]);
        Assert.True(code == 0, error);
        Assert.Contains($"{node.Stored()[0].Id}", output, StringComparison.Ordinal);
        _ = await node.CheckpointAsync();
        foreach (string[] command in (string[][])[.. Reading, ["domains"], ["domains", "--json"], ["node"], ["node", "--json"]])
        {
            Assert.Equal(command[^1] == "none" ? 66 : 0, await SameAsync([.. command, .. daemon]));
        }

        string[] cluster = ["--node", $"alpha={node.Settings.ControlSocket}"];
        foreach (string[] command in new string[][]
        {
            ["status"], ["status", "--json"], ["line"], ["line", "--json"], ["gc", "--dry-run", "--json"], ["recover", "--dry-run", "--json"],
        })
        {
            Assert.Equal(0, await SameAsync(["cluster", .. command, .. cluster]));
        }

        string[] missing = ["--node", $"beta={Path.Combine(_folder, "none")}", "--timeout", "2m"];
        Assert.Equal(69, await SameAsync(["cluster", "status", "--json", .. cluster, .. missing]));
        foreach (string[] command in new string[][] { ["events", "--after", "0"], ["events", "--after", "0", "--json"] })
        {
            Assert.Equal(await EventsAsync(Managed, [.. command, .. daemon]), await EventsAsync(Native, [.. command, .. daemon]));
        }
    }

    [Fact]
    public async Task It_draws_a_run()
    {
        string trace = Path.Combine(_folder, "run.trace"), picture = Path.Combine(_folder, "run.svg");
        using (FileStream file = File.Create(trace))
        using (TraceWriter writer = TraceWriter.Create(file, TraceHeader.For(Bcs.Traits, 2, rollbacks: true)))
        {
            writer.Write(TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1));
            writer.Write(TraceEvent.Send(0, 1, 0, 1));
            writer.Write(TraceEvent.Checkpoint(TraceEventKind.Forced, 1, 1));
            writer.Write(TraceEvent.Receive(1, 0, 1));
            writer.Complete();
        }

        var pictures = new List<byte[]>();
        foreach (string[] program in new[] { Managed, Native })
        {
            (int code, string _, string error) = await RunAsync(
                program, ["cluster", "timeline", trace, "--names", "alpha", "beta", "--out", picture]);
            Assert.True(code == 0, error);
            pictures.Add(File.ReadAllBytes(picture));
            File.Delete(picture);
        }

        Assert.Equal(pictures[0], pictures[1]);
    }

    /// <summary>Both programs print the same and end with the same code, which is returned.</summary>
    private static async Task<int> SameAsync(params string[] command)
    {
        var expected = await RunAsync(Managed, command);
        Assert.Equal(expected, await RunAsync(Native, command));
        return expected.Code;
    }

    /// <summary>What is printed of the events of two checkpoints, until the program is told to end.</summary>
    private static async Task<string> EventsAsync(string[] program, string[] command)
    {
        using Process process = Start(program, command);
        var lines = new List<string>();
        for (int durable = 0; durable < 2;)
        {
            lines.Add(await process.StandardOutput.ReadLineAsync() ?? throw new EndOfStreamException(string.Join('\n', lines)));
            durable += lines[^1].Contains("durable", StringComparison.Ordinal) ? 1 : 0;
        }

        // Not SIGINT, which whoever runs the tests in the background has set to be ignored.
        using Process kill = Process.Start("/bin/kill", ["-TERM", $"{process.Id}"]);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TestNode.Patience);
        lines.Add($"exit code {process.ExitCode}");
        return string.Join('\n', lines);
    }

    private static async Task<(int Code, string Output, string Error)> RunAsync(string[] program, string[] command)
    {
        using Process process = Start(program, command);
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await error);
    }

    private static Process Start(string[] program, string[] command) =>
        Process.Start(new ProcessStartInfo(program[0], [.. program[1..], .. command])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        })!;
}
