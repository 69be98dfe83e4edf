using System.Diagnostics;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Simulator;
using Xunit;

namespace XenTwoLevelCkpt.Simulation.Tests;

public sealed class CommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("xtlsim-test-").FullName;

    public static TheoryData<string> Studies =>
    [
        "figure5 --seeds 3 --vms 40 --csv",
        "compare --vms 40 --events 2000 --seeds 3 --csv --judge",
        "sweep --x local=0,0.5,1 --y vms=16,40 --events 2000 --seeds 3 --csv",
        "sweep --x cost=10ms,1s --y protocol=bcs,hmnr --vms 40 --mtbf exponential:20s --duration 60 --seeds 3 --metric useful --csv",
        "interval --cost 5 --mtbf exponential:100 --duration 3000 --seeds 3 --csv",
    ];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("run --vms 0")]
    [InlineData("run --vms -5")]
    [InlineData("run --vms-per-node 0")]
    [InlineData("run --vms many")]
    [InlineData("run --protocol fine-as-wine")]
    [InlineData("run --local 1.5")]
    [InlineData("run --local -0.1")]
    [InlineData("run --events 0")]
    [InlineData("run --basic 0")]
    [InlineData("run --gap 0s")]
    [InlineData("run --gap exponential:-1s")]
    [InlineData("run --workload gossip")]
    [InlineData("run --delay pareto:1s")]
    [InlineData("run --cost -1s")]
    [InlineData("run --storage 0B --image 1MiB")]
    [InlineData("run --mtbf exponential:0s")]
    [InlineData("run --workload master-worker --mtbf exponential:1h")]
    [InlineData("run --duration 0s")]
    [InlineData("run --json --csv")]
    [InlineData("run --no-such-option")]
    [InlineData("walk")]
    [InlineData("figure5 --seeds 1")]
    [InlineData("figure5 --vms 4")]
    [InlineData("figure5 --threads 0")]
    [InlineData("figure5 --shard 3/2 --shard-file F")]
    [InlineData("figure5 --shard 1/2")]
    [InlineData("compare --protocols bcs,nope")]
    [InlineData("sweep --x local --y vms=8,16")]
    [InlineData("sweep --x local=0,2 --y vms=8,16")]
    [InlineData("sweep --x local=0,1 --y vms=8,16 --metric beauty")]
    [InlineData("interval --mtbf exponential:1h")]
    [InlineData("run --workload trace")]
    [InlineData("run --interval recorded")]
    [InlineData("run --from-trace F --local 0.5")]
    [InlineData("run --from-trace F --workload ring")]
    [InlineData("compare --workloads uniform,trace")]
    [InlineData("scale --vms 0")]
    public void A_wrong_parameter_gives_one_line_and_64(string line) => AssertOneLine(ExitCodes.Usage, line);

    [Fact]
    public void What_cannot_be_read_gives_one_line_and_65()
    {
        AssertOneLine(ExitCodes.Data, $"check {File("missing.bin", null)}");
        AssertOneLine(ExitCodes.Data, $"check {File("noise.bin", "this is no trace")}");
        AssertOneLine(ExitCodes.Data, $"check {File("empty.bin", "")}");
        AssertOneLine(ExitCodes.Data, $"run --from-trace {File("missing.bin", null)}");
        AssertOneLine(ExitCodes.Data, $"run --from-trace {File("noise.bin", "this is no trace")} --trace {File("t.bin", null)}");
        AssertOneLine(ExitCodes.Data, $"join {File("noise.json", "[1,2]")}");
        AssertOneLine(ExitCodes.Data, $"run --config {File("list.yml", "- 1\n- 2\n")}");
        AssertOneLine(ExitCodes.Data, $"run --config {File("unknown.yml", "vms: 40\ncolour: red\n")}");
        AssertOneLine(ExitCodes.Data, $"run --config {File("broken.yml", "vms: [40\n")}");
        AssertOneLine(ExitCodes.Data, $"run --failures {File("failures.csv", "10,0\nsoon,1\n")}");
        AssertOneLine(ExitCodes.Data, $"run --phases {File("phases.json", "{\"phases\": 3}")}");
    }

    [Theory]
    [InlineData("t.bin")]
    [InlineData("t.jsonl")]
    public void A_trace_that_is_cut_gives_one_line_and_65(string name)
    {
        string path = Path.Combine(_folder, name);
        Assert.Equal(0, Invoke($"run --vms 40 --events 3000 --trace {path}").Code);
        (int code, string output, _) = Invoke($"check {path} --csv");
        Assert.Equal(0, code);
        Assert.Contains(",yes,", output, StringComparison.Ordinal);
        byte[] whole = System.IO.File.ReadAllBytes(path);
        foreach (int part in new[] { 1, 3, 9 })
        {
            System.IO.File.WriteAllBytes(path, whole[..(whole.Length * part / 10)]);
            AssertOneLine(ExitCodes.Data, $"check {path}");
            AssertOneLine(ExitCodes.Data, $"run --from-trace {path} --trace {path}.new");
        }
    }

    [Fact]
    public void Traces_of_single_nodes_are_merged_for_the_checker()
    {
        string whole = Path.Combine(_folder, "t.bin"), merged = Path.Combine(_folder, "merged.jsonl");
        Assert.Equal(0, Invoke($"run --vms 4 --vms-per-node 1 --events 3000 --trace {whole}").Code);
        var parts = new List<string>();
        for (int node = 0; node < 4; node++)
        {
            parts.Add(Path.Combine(_folder, node == 2 ? "2.jsonl" : $"{node}.bin"));
            using FileStream input = System.IO.File.OpenRead(whole), output = System.IO.File.Create(parts[node]);
            TraceReader reader = TraceReader.Open(input);
            using TraceWriter writer = TraceWriter.Create(
                output, reader.Header with { Rollbacks = true }, jsonLines: node == 2);
            while (reader.TryRead(out TraceEvent item))
            {
                if (item.Node == node)
                {
                    writer.Write(in item);
                }
            }

            writer.Complete();
        }

        Assert.Equal((0, "", ""), Invoke($"merge {string.Join(' ', parts)} --out {merged}"));
        Assert.Equal(Invoke($"check {whole} --csv"), Invoke($"check {merged} --csv"));
        AssertOneLine(ExitCodes.Data, $"merge {parts[0]} {parts[1]} {parts[3]} --out {merged}.new");
        AssertOneLine(ExitCodes.Data, $"merge {parts[0]} {parts[0]} --out {merged}.new");
        AssertOneLine(ExitCodes.Data, $"merge {parts[0]} {File("noise.bin", "no trace")} --out {merged}.new");
        AssertOneLine(ExitCodes.Usage, $"merge {parts[0]}");

        // A node that is lost leaves a trace without its end.
        byte[] bytes = System.IO.File.ReadAllBytes(parts[3]);
        System.IO.File.WriteAllBytes(parts[3], bytes[..^1]);
        AssertOneLine(ExitCodes.Data, $"merge {string.Join(' ', parts)} --out {merged}.new");
        Assert.Equal((0, "", ""), Invoke($"merge {string.Join(' ', parts)} --failed {parts[3]} --out {merged}"));
        Assert.Equal([1, 0], Values(Invoke($"check {merged} --csv").Output, "failures", "rollbacks"));

        // Its domains went back to a checkpoint of its, and on elsewhere.
        string later = Path.Combine(_folder, "3.later");
        using (FileStream one = System.IO.File.OpenRead(parts[0]), rest = System.IO.File.Create(later))
        {
            using TraceWriter writer = TraceWriter.Create(rest, TraceReader.Open(one).Header);
            writer.Write(TraceEvent.Rollback(3, 1, 1));
            writer.Complete();
        }

        AssertOneLine(ExitCodes.Data, $"merge {string.Join(' ', parts)} {later} --out {merged}.new");
        Assert.Equal((0, "", ""), Invoke($"merge {string.Join(' ', parts)} {later} --failed {parts[3]} --out {merged}"));
        string judged = Invoke($"check {merged} --csv").Output;
        Assert.Equal([1, 1], Values(judged, "failures", "rollbacks"));
        Assert.True(Values(judged, "checkpoints_undone")[0] > 0, judged);
    }

    [Fact]
    public void A_recorded_trace_is_a_workload_in_both_forms()
    {
        string binary = Path.Combine(_folder, "t.bin"), json = Path.Combine(_folder, "t.jsonl");
        const string Recorded = "run --vms 40 --events 3000 --flat --csv";
        Assert.Equal(0, Invoke($"{Recorded} --trace {binary}").Code);
        Assert.Equal(0, Invoke($"{Recorded} --trace {json}").Code);
        (int code, string output, string error) = Invoke($"run --from-trace {binary} --interval recorded --csv");
        Assert.Equal((0, ""), (code, error));
        Assert.Equal(output, Invoke($"run --workload trace --from-trace {json} --interval recorded --csv").Output);
        Assert.Equal(Values(Invoke(Recorded).Output, "basic", "forced", "remote_messages"), Values(output, "basic", "forced", "remote_messages"));
        (_, string study, _) = Invoke($"compare --from-trace {json} --protocols bcs,hmnr --seeds 2 --csv --threads 2");
        Assert.Equal(["trace,bcs", "trace,hmnr"], study.Split('\n')[1..3].Select(line => string.Join(',', line.Split(',')[..2])));
        AssertOneLine(ExitCodes.Usage, $"run --from-trace {json} --vms 41");
        AssertOneLine(ExitCodes.Usage, $"run --from-trace {json} --events 0");
    }

    [Theory]
    [MemberData(nameof(Studies))]
    public void Threads_and_shards_change_no_byte(string line)
    {
        (int code, string one, string error) = Invoke($"{line} --threads 1");
        Assert.Equal((0, ""), (code, error));
        Assert.True(one.Count(c => c == '\n') > 3);
        Assert.Equal(one, Invoke($"{line} --threads 1").Output);
        Assert.Equal(one, Invoke($"{line} --threads 2").Output);
        string[] shards = [.. Enumerable.Range(1, 3).Select(i => Path.Combine(_folder, $"shard{i}"))];
        for (int i = 0; i < shards.Length; i++)
        {
            Assert.Equal((0, "", ""), Invoke($"{line} --shard {i + 1}/3 --shard-file {shards[i]} --threads 2"));
        }

        Assert.Equal((0, one, ""), Invoke($"join {string.Join(' ', shards)} --csv"));
        AssertOneLine(ExitCodes.Data, $"join {shards[0]} {shards[2]}");
        AssertOneLine(ExitCodes.Data, $"join {string.Join(' ', shards)} {shards[0]}");
        string[] lines = System.IO.File.ReadAllLines(shards[1]);
        System.IO.File.WriteAllLines(shards[1], lines[..^1]);
        AssertOneLine(ExitCodes.Data, $"join {string.Join(' ', shards)}");
    }

    [Fact]
    public void A_file_of_options_is_the_same_as_options()
    {
        string path = File("run.yml", "vms: 80\nlocal: 0.25\nevents: 3000\nprotocol: hmnr\nflat: true\n");
        (int code, string output, _) = Invoke($"run --config {path} --events 2000 --csv");
        Assert.Equal(0, code);
        Assert.Equal(output, Invoke("run --vms 80 --local 0.25 --events 2000 --protocol hmnr --flat --csv").Output);
        Assert.Contains("hmnr,flat,local,80,10,1,2000,", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Measured_phases_are_the_cost_of_checkpoints()
    {
        string path = File("phases.json", "{\"pauseMs\": 40, \"phases\": {}}\n{\"phases\": {\"ts\": 50, \"tr\": 10}}\n");
        (int code, string output, string error) = Invoke(
            $"run --vms 40 --events 2000 --phases {path} --csv");
        Assert.Equal((0, ""), (code, error));
        string[] names = output.Split('\n')[0].Split(','), values = output.Split('\n')[1].Split(',');
        double Value(string name) => double.Parse(values[Array.IndexOf(names, name)]);
        Assert.Equal((Value("basic") + Value("forced")) * 0.05, Value("overhead_seconds"), 1e-9);
        Assert.True(Value("suspended") > 0);
    }

    [Fact]
    public void Measured_phases_are_read_as_xtlctl_prints_them()
    {
        // 'checkpoint' and 'watch': one report after the other. 'show': the domains alone, whose phases run side by side.
        const string Phases = "{\"ts\": 3.5, \"ta\": 1, \"tm\": 30, \"td\": 2, \"tc\": 0, \"tr\": 6.5}";
        const string Slower = "{\"ts\": 9.5, \"ta\": 1, \"tm\": 20, \"td\": 2, \"tc\": 0, \"tr\": 6.5}";
        string report = $"{{\"id\": \"x\", \"pauseMs\": 40, \"phases\": {Phases}, \"domains\": []}}\n";
        string shown = $"{{\"checkpoint\": {{\"id\": \"x\"}}, \"domains\": [{{\"name\": \"a\", \"phases\": {Phases}}}, {{\"phases\": {Slower}}}]}}\n";
        Assert.Equal(0.04, Cost(report));
        Assert.Equal(0.046, Cost(shown), 1e-12);
        Assert.Equal(0.043, Cost(report + shown), 1e-12);
        Assert.Equal(0.043, Cost($"[{report}, {shown}]"), 1e-12);
        Assert.Equal(0.04, Cost($"{{\"phases\": {Phases}}}"), 1e-12);
        foreach (string wrong in new[]
        {
            "{\"checkpoint\": {}, \"domains\": []}", "{\"pauseMs\": -1}", "{\"pauseMs\": \"40\"}", "{\"domains\": [{}]}", "[]", "7",
            report[..20], "",
        })
        {
            AssertOneLine(ExitCodes.Data, $"run --phases {File("wrong.json", wrong)}");
        }

        double Cost(string content)
        {
            (int code, string output, string error) = Invoke(
                $"run --vms 40 --events 2000 --phases {File("phases.json", content)} --csv");
            Assert.Equal((0, ""), (code, error));
            double[] values = Values(output, "overhead_seconds", "checkpoints");
            return values[0] / values[1];
        }
    }

    [Fact]
    public async Task Progress_is_drawn_on_a_terminal_and_results_are_the_same_in_a_pipe()
    {
        string program = $"dotnet {Path.Combine(System.AppContext.BaseDirectory, "xtlsim.dll")} compare --seeds 2";
        (int code, string piped, string error) = await ShellAsync(program);
        Assert.Equal((0, ""), (code, error));
        Assert.DoesNotContain('\e', piped);
        (code, string drawn, _) = await ShellAsync($"TERM=xterm script -qec '{program}' /dev/null");
        Assert.Equal(0, code);
        Assert.Contains("\e[", drawn, StringComparison.Ordinal);
        Assert.Contains(piped, drawn.Replace("\r", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Error)> ShellAsync(string command)
    {
        using Process process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", command])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, output, await error);
    }

    [Fact]
    public void A_study_leaves_its_files_and_nothing_else()
    {
        string folder = Path.Combine(_folder, "new");
        Assert.Equal(0, Invoke($"figure5 --seeds 2 --vms 40 --out {folder} --no-plot").Code);
        Assert.Equal(["figure5.csv"], Directory.GetFiles(folder).Select(Path.GetFileName));
    }

    private static double[] Values(string csv, params string[] names)
    {
        string[] all = csv.Split('\n')[0].Split(','), values = csv.Split('\n')[1].Split(',');
        return [.. names.Select(name => double.Parse(values[Array.IndexOf(all, name)]))];
    }

    private string File(string name, string? content)
    {
        string path = Path.Combine(_folder, name);
        if (content is not null)
        {
            System.IO.File.WriteAllText(path, content);
        }

        return path;
    }

    private void AssertOneLine(int expected, string line)
    {
        string[] before = Directory.GetFiles(_folder);
        (int code, string output, string error) = Invoke(line);
        Assert.Equal(expected, code);
        Assert.Equal("", output);
        Assert.StartsWith("xtlsim: ", error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
        Assert.Equal(before, Directory.GetFiles(_folder));
    }

    private static (int Code, string Output, string Error) Invoke(string line)
    {
        var output = new StringWriter { NewLine = "\n" };
        var error = new StringWriter { NewLine = "\n" };
        int code = new App(output, error).Run(line.Split(' '));
        return (code, output.ToString(), error.ToString());
    }
}
