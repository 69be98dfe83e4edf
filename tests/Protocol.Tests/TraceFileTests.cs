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
