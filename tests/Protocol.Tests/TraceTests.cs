using System.Text;
using FsCheck;
using FsCheck.Fluent;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>Both forms of traces: what is written is read, and what is not whole is refused by its place.</summary>
public class TraceTests
{
    private static readonly TraceHeader Two = TraceHeader.For(Bcs.Traits, 2, rollbacks: true, channelLogs: true);

    private static readonly TraceEvent[] OneOfEach =
    [
        TraceEvent.Send(0, 1, 300, 0),
        TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1),
        TraceEvent.Send(0, 1, 2, 1),
        TraceEvent.CheckpointFailed(1),
        TraceEvent.Checkpoint(TraceEventKind.Forced, 1, 1),
        TraceEvent.Receive(1, 2, 1),
        TraceEvent.Receive(1, 300, 1, logged: true),
        TraceEvent.IndexRaised(0, 4),
        TraceEvent.Failure(1),
        TraceEvent.Rollback(1, 1, 1),
        TraceEvent.Adoption(0, 1),
        TraceEvent.Checkpoint(TraceEventKind.Other, 0, long.MaxValue),
        TraceEvent.Lost(1, 300),
        TraceEvent.Send(1, 0, TraceEvent.MaxMessage, 0),
        TraceEvent.Send(1, 0, 0, 0),
    ];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_is_written_is_read(bool json) => Prop.ForAll(Properties.Schedules(nodes: 5, steps: 3000), schedule =>
    {
        Outcome run = RunUse.Run("bcs-aftersend", schedule, failures: true);
        (TraceHeader header, List<TraceEvent> events) = Read(Write(run.Header, run.Events, json));
        Assert.Equal(run.Header, header);
        Assert.Equal(run.Events, events);
    }).Check(Properties.Quiet.WithMaxTest(20));

    [Theory]
    [InlineData("bcs", false)]
    [InlineData("uncoordinated", false)]
    [InlineData("bcs", true)]
    [InlineData("bcs-aftersend", true)]
    [InlineData("fdas", true)]
    public void Traces_of_single_nodes_merge_into_one_that_is_judged_as_the_run_was(string protocol, bool failures) => Prop.ForAll(
        Properties.Schedules(nodes: 5, steps: 400), schedule =>
        {
            Outcome run = RunUse.Run(protocol, schedule, failures);
            (TraceHeader header, List<TraceEvent> events) = Read(Merged(run.Header, [.. Enumerable.Range(0, run.Header.Nodes)
                .Select(node => run.Events.Where(item => item.Node == node))]));
            Assert.Equal(run.Header, header);
            for (int node = 0; node < run.Header.Nodes; node++)
            {
                Assert.Equal(run.Events.Where(item => item.Node == node), events.Where(item => item.Node == node));
            }

            CheckReport before = run.Check(), after = Judge(header, events);
            Assert.Equal(
                (before.Sound, before.Useless, before.Rollbacks, before.InFlight, before.Counts.GetValueOrDefault(FindingKind.Orphan)),
                (after.Sound, after.Useless, after.Rollbacks, after.InFlight, after.Counts.GetValueOrDefault(FindingKind.Orphan)));
            Assert.Equal(before.GreatestLine, after.GreatestLine);
        }).Check(Properties.Quiet.WithMaxTest(100));

    [Fact]
    public void Traces_that_do_not_belong_together_are_not_merged()
    {
        TraceHeader two = TraceHeader.For(Bcs.Traits, 2);
        TraceEvent send = TraceEvent.Send(0, 1, 7, 0), receive = TraceEvent.Receive(1, 7, 0);
        Assert.Equal([send, receive], Read(Merged(two, [[receive], [send]])).Events);
        Refused("trace 2, byte 35: message 7 is delivered, and no trace sends it before, or it was delivered already", [], [receive]);
        Refused("trace 1, byte 39: message 7 is delivered, and no trace sends it before, or it was delivered already", [receive, receive], [send]);
        Refused("trace 2, byte 35: node 0 has records in trace 1 too; its order would be lost", [send], [send]);
        Refused("trace 1, byte 40: message 7 is sent a second time; each needs a number of its own", [send, send]);

        // Each waits for what the other sends later: no run can have been so.
        Refused(
            "trace 1, byte 35: message 8 is delivered, and no trace sends it before, or it was delivered already",
            [TraceEvent.Receive(0, 8, 0), send], [receive, TraceEvent.Send(1, 0, 8, 0)]);
        Assert.StartsWith("trace 2 is of another run", Assert.Throws<TraceException>(() => TraceMerger.HeaderOf([two, two with { Nodes = 3 }])).Message, StringComparison.Ordinal);

        void Refused(string message, params IEnumerable<TraceEvent>[] parts) =>
            Assert.Equal(message, Assert.Throws<TraceException>(() => Merged(two, parts)).Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Every_kind_of_record_is_read_as_written(bool json)
    {
        (TraceHeader header, List<TraceEvent> events) = Read(Write(Two, OneOfEach, json));
        Assert.Equal(Two, header);
        Assert.Equal(OneOfEach, events);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_no_reader_would_take_is_not_written(bool json)
    {
        using MemoryStream output = new();
        using TraceWriter writer = TraceWriter.Create(output, Two, json);
        Assert.Throws<ArgumentException>(() => writer.Write(TraceEvent.Send(0, 2, 0, 0)));
        Assert.Throws<ArgumentException>(() => writer.Write(TraceEvent.Send(0, 1, TraceEvent.MaxMessage + 1, 0)));
        Assert.Throws<ArgumentException>(() => writer.Write(TraceEvent.Checkpoint(TraceEventKind.Basic, 0, -1)));
        Assert.Throws<ArgumentException>(() => writer.Write(default));
        writer.Complete();
        Assert.Empty(Read(output.ToArray()).Events);
    }

    [Theory]
    [InlineData(false, "byte ")]
    [InlineData(true, "line ")]
    public void A_trace_cut_anywhere_is_refused_by_its_place(bool json, string place)
    {
        byte[] whole = Write(Two, OneOfEach, json);
        for (int length = 1; length < whole.Length; length++)
        {
            string message = Assert.Throws<TraceException>(() => Read(whole[..length])).Message;
            Assert.StartsWith(place, message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', message);
        }

        Assert.Equal("byte 0: the trace is empty", Assert.Throws<TraceException>(() => Read([])).Message);
    }

    [Fact]
    public void Any_flipped_bit_of_the_binary_form_is_refused()
    {
        byte[] whole = Write(Two, OneOfEach, json: false);
        for (int bit = 0; bit < 8 * whole.Length; bit++)
        {
            byte[] damaged = (byte[])whole.Clone();
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.StartsWith("byte ", Assert.Throws<TraceException>(() => Read(damaged)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_trace_of_many_blocks_missing_one_is_refused()
    {
        TraceEvent[] many = [.. Enumerable.Range(0, 50_000).Select(i => TraceEvent.Send(0, 1, i, i))];
        byte[] whole = Write(Two, many, json: false);
        int header = 20 + Two.Protocol.Length + 4;
        int first = 8 + BitConverter.ToInt32(whole, header);
        byte[] without = [.. whole[..header], .. whole[(header + first)..]];
        Assert.Contains("50000 were written; blocks are missing", Assert.Throws<TraceException>(() => Read(without)).Message, StringComparison.Ordinal);
        byte[] longer = [.. whole, 0];
        Assert.Equal($"byte {whole.Length}: something follows the end of the trace", Assert.Throws<TraceException>(() => Read(longer)).Message);
    }

    [Theory]
    [InlineData("{\"type\":\"send\",\"node\":2,\"to\":0,\"message\":1,\"index\":0}", "line 2: node 2 of a trace that has 2")]
    [InlineData("{\"type\":\"send\",\"node\":0,\"to\":1,\"message\":-1,\"index\":0}", "line 2: no whole number \"message\" of at least 0")]
    [InlineData("{\"type\":\"jump\",\"node\":0}", "line 2: no record has this \"type\"")]
    [InlineData("[1]", "line 2: not a JSON object")]
    [InlineData("{\"type\":", "line 2: not valid JSON at byte 8 of the line")]
    [InlineData("{\"type\":\"failure\",\"node\":0}\n{\"type\":\"end\",\"records\":2}", "line 3: 1 records are here, 2 were written; lines are missing")]
    [InlineData("{\"type\":\"end\",\"records\":0}\n{}", "line 3: something follows the end of the trace")]
    [InlineData("{\"type\":\"receive\",\"node\":0,\"message\":1,\"index\":0}", "line 2: message 1 is delivered, and was not sent before or was delivered already")]
    public void A_wrong_line_is_named(string lines, string message)
    {
        string head = Encoding.UTF8.GetString(Write(Two, [], json: true)).Split('\n')[0];
        byte[] trace = Encoding.UTF8.GetBytes($"{head}\n{lines}\n");
        Assert.Equal(message, Assert.Throws<TraceException>(() => TraceChecker.Check(new MemoryStream(trace))).Message);
    }

    [Theory]
    [InlineData("hello", "byte 0: not a trace; one begins with XTLTRACE, or with '{' in its JSON form")]
    [InlineData("{}\n", "line 1: no text \"type\"")]
    [InlineData("{\"type\":\"xtl-trace\",\"version\":2}\n", "line 1: version 2 of the format; this reader knows 1")]
    [InlineData("{\"type\":\"xtl-trace\",\"version\":1,\"nodes\":0}\n", "line 1: 0 nodes; 1 to 16777216 are possible")]
    public void What_is_no_trace_is_refused(string text, string message) => Assert.Equal(
        message, Assert.Throws<TraceException>(() => Read(Encoding.UTF8.GetBytes(text))).Message);

    // A parser looks at text when somebody asks for it, and not before.
    [Theory]
    [InlineData("type")]
    [InlineData("protocol")]
    [InlineData("line")]
    public void Text_that_is_none_is_refused_by_its_line(string member)
    {
        const string Header = """{"type":"xtl-trace","version":1,"nodes":2,"protocol":"bcs","line":"first-at-least","rollbacks":false,"channelLogs":false}""";
        string value = member switch { "type" => "xtl-trace", "protocol" => "bcs", _ => "first-at-least" };
        foreach (byte[] wrong in new byte[][] { [0xFF], "\\ud800"u8.ToArray(), "\\u001b[2J"u8.ToArray() })
        {
            byte[] bytes = Encoding.UTF8.GetBytes(Header + "\n");
            int at = bytes.AsSpan().IndexOf(Encoding.UTF8.GetBytes($"\"{member}\":\"{value}")) + member.Length + 4;
            byte[] trace = [.. bytes[..at], .. wrong, .. bytes[at..]];
            TraceException e = Assert.Throws<TraceException>(() => TraceReader.Open(new MemoryStream(trace)));
            Assert.StartsWith("line 1: ", e.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(e.Message, char.IsControl);
        }
    }

    [Fact]
    public void A_line_without_end_does_not_fill_the_memory()
    {
        byte[] endless = [.. "{"u8, .. Enumerable.Repeat((byte)' ', 100_000)];
        Assert.Equal("line 1: longer than 4096 bytes; not a trace", Assert.Throws<TraceException>(() => Read(endless)).Message);
    }

    [Fact]
    public void Both_forms_are_judged_alike() => Prop.ForAll(Properties.Schedules(), schedule =>
    {
        Outcome run = RunUse.Run("uncoordinated", schedule, failures: true);
        CheckReport direct = run.Check();
        foreach (bool json in new[] { false, true })
        {
            CheckReport read = TraceChecker.Check(new MemoryStream(Write(run.Header, run.Events, json)));
            Assert.Equal(direct.UselessShown, read.UselessShown);
            Assert.Equal(direct.GreatestLine, read.GreatestLine);
            Assert.Equal(direct.Records, read.Records);
        }
    }).Check(Properties.Quiet.WithMaxTest(50));

    private static byte[] Merged(TraceHeader header, params IEnumerable<TraceEvent>[] parts)
    {
        byte[][] traces = [.. parts.Select(part => Write(header, part, false))];
        using MemoryStream output = new();
        using TraceWriter writer = TraceWriter.Create(output, TraceMerger.HeaderOf([header, .. parts.Select(_ => header)]));
        TraceMerger.Merge([.. traces.Select(trace => new Func<TraceReader>(() => TraceReader.Open(new MemoryStream(trace))))], writer);
        writer.Complete();
        return output.ToArray();
    }

    private static CheckReport Judge(TraceHeader header, IEnumerable<TraceEvent> events)
    {
        TraceChecker checker = new(header);
        foreach (TraceEvent item in events)
        {
            checker.Add(in item);
        }

        return checker.Complete();
    }

    private static byte[] Write(TraceHeader header, IEnumerable<TraceEvent> events, bool json)
    {
        using MemoryStream output = new();
        using TraceWriter writer = TraceWriter.Create(output, header, json);
        foreach (TraceEvent item in events)
        {
            writer.Write(item);
        }

        writer.Complete();
        return output.ToArray();
    }

    private static (TraceHeader Header, List<TraceEvent> Events) Read(byte[] trace)
    {
        TraceReader reader = TraceReader.Open(new MemoryStream(trace));
        List<TraceEvent> events = [];
        while (reader.TryRead(out TraceEvent item))
        {
            events.Add(item);
        }

        return (reader.Header, events);
    }
}
