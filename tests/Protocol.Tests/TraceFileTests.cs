using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests;

/// <summary>A node's trace over several lives of its process.</summary>
public sealed class TraceFileTests : IDisposable
{
    private static readonly TraceHeader Header = TraceHeader.For(Bcs.Traits, 2, rollbacks: true, channelLogs: true);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("trace-test-");

    private string Path => System.IO.Path.Combine(_folder.FullName, "trace");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_killed_process_loses_what_it_wrote_since_the_last_flush_and_nothing_else()
    {
        using var killed = TraceFile.Open(Path, Header);
        killed.Write(Send(0));
        killed.Write(TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1));
        killed.Flush();
        killed.Write(Send(1));
        File.Copy(Path, Path + "2");
        using (var next = TraceFile.Open(Path + "2", Header))
        {
            Assert.Equal((2, 1), (next.Records, next.Ordinal));
            next.Write(TraceEvent.Failure(0));
            next.Write(TraceEvent.Rollback(0, 0, 0));
            Assert.Equal(0, next.Ordinal);
        }

        Assert.Equal(
            [TraceEventKind.Send, TraceEventKind.Basic, TraceEventKind.Failure, TraceEventKind.Rollback],
            Kinds(Path + "2"));
    }

    [Fact]
    public void A_trace_that_was_ended_goes_on()
    {
        for (int life = 0; life < 3; life++)
        {
            using var file = TraceFile.Open(Path, Header);
            Assert.Equal(life, file.Records);
            file.Write(Send(life));
        }

        Assert.Equal(3, Kinds(Path).Count);
    }

    [Fact]
    public void Wherever_it_was_cut_it_goes_on_behind_the_last_whole_block()
    {
        long header;
        using (var file = TraceFile.Open(Path, Header))
        {
            header = new FileInfo(Path).Length;
            for (int i = 0; i < 5; i++)
            {
                file.Write(Send(i));
                file.Flush();
            }
        }

        byte[] octets = File.ReadAllBytes(Path);
        int most = 0;
        for (int length = (int)header; length <= octets.Length; length++)
        {
            File.WriteAllBytes(Path, octets.AsSpan(0, length));
            using (var file = TraceFile.Open(Path, Header))
            {
                Assert.InRange(file.Records, most, 5);
                most = (int)file.Records;
                file.Write(Send(100));
            }

            Assert.Equal(most + 1, Kinds(Path).Count);
        }

        Assert.Equal(5, most);
    }

    [Fact]
    public void A_trace_of_another_run_or_no_trace_is_left_alone()
    {
        using (TraceFile.Open(Path, Header))
        {
        }

        Assert.Throws<TraceException>(() => TraceFile.Open(Path, Header with { Nodes = 3 }));
        File.WriteAllText(Path, "something else, of which nothing may be cut away");
        Assert.Throws<TraceException>(() => TraceFile.Open(Path, Header));
        Assert.Equal("something else, of which nothing may be cut away", File.ReadAllText(Path));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_lost_nodes_trace_goes_on_where_another_one_goes_on_with_its_domains(bool noted)
    {
        TraceHeader three = Header with { Nodes = 3, Rollbacks = true };
        string Named(string name) => System.IO.Path.Combine(_folder.FullName, name);
        var lost = TraceFile.Open(Named("lost"), three);
        lost.Write(TraceEvent.Checkpoint(TraceEventKind.Basic, 1, 1));
        if (noted)
        {
            lost.Write(TraceEvent.Checkpoint(TraceEventKind.Other, 1, 2));
        }

        lost.Flush();
        lost.Abandon();

        // The host's adoption comes last, whichever file is read first.
        Write("host.lost", TraceEvent.Rollback(1, 2, 2), TraceEvent.Receive(1, 1, 2, logged: true));
        Write("host", TraceEvent.Adoption(2, 1), TraceEvent.Receive(2, 2, 2, logged: true));
        Write("sender", TraceEvent.Send(0, 1, 1, 0), TraceEvent.Send(0, 1, 2, 0));
        string[] paths = [Named("host"), Named("lost"), Named("host.lost"), Named("sender")];
        using var merged = new MemoryStream();
        TraceFiles.Merge(paths, [Named("lost")], header => TraceWriter.Create(merged, header));
        merged.Position = 0;
        TraceReader reader = TraceReader.Open(merged);
        List<TraceEvent> events = [];
        while (reader.TryRead(out TraceEvent item))
        {
            events.Add(item);
        }

        Assert.Equal(
            [
                TraceEvent.Checkpoint(TraceEventKind.Basic, 1, 1), TraceEvent.Checkpoint(TraceEventKind.Other, 1, 2),
                TraceEvent.Failure(1), TraceEvent.Rollback(1, 2, 2), TraceEvent.Receive(1, 1, 2, logged: true),
            ],
            events.Where(item => item.Node == 1));
        Assert.Equal([TraceEvent.Adoption(2, 1), TraceEvent.Receive(2, 2, 2, logged: true)], events[^2..]);
        merged.Position = 0;
        CheckReport report = TraceChecker.Check(merged);
        Assert.True(report.Sound);
        Assert.Equal(0, report.InFlight);

        void Write(string name, params TraceEvent[] items)
        {
            using TraceFile file = TraceFile.Open(Named(name), three);
            foreach (TraceEvent item in items)
            {
                file.Write(item);
            }
        }
    }

    private static TraceEvent Send(long message) => TraceEvent.Send(0, 1, message, 0);

    private static List<TraceEventKind> Kinds(string path)
    {
        using FileStream file = File.OpenRead(path);
        TraceReader reader = TraceReader.Open(file);
        List<TraceEventKind> kinds = [];
        while (reader.TryRead(out TraceEvent item))
        {
            kinds.Add(item.Kind);
        }

        return kinds;
    }
}
