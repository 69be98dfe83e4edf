using System.Xml.Linq;
using XenTwoLevelCkpt.Cluster.Timelines;
using XenTwoLevelCkpt.Protocol.Checking;
using XenTwoLevelCkpt.Protocol.Family;
using Xunit;

namespace XenTwoLevelCkpt.Cluster.Tests;

public sealed class TimelineTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    [Fact]
    public void A_forced_checkpoint_stands_right_of_the_sending_that_forced_it()
    {
        Timeline timeline = Read(
            2,
            TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1),
            TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 2),
            TraceEvent.Send(0, 1, 0, 2),
            TraceEvent.Send(0, 1, 1, 2),
            TraceEvent.Checkpoint(TraceEventKind.Forced, 1, 2),
            TraceEvent.Receive(1, 0, 2),
            TraceEvent.Receive(1, 1, 2));
        Mark forced = Assert.Single(timeline.Marks, mark => mark.Kind == MarkKind.Forced);
        Mark send = Assert.Single(timeline.Marks, mark => mark.Kind == MarkKind.Send);
        Assert.Same(send, forced.Cause);
        Assert.Equal((3, 4), (send.Column, forced.Column));
        Assert.Equal(2, timeline.Line);
        Assert.Equal([2L, 2L], timeline.Members.Select(mark => mark!.Index));
    }

    [Fact]
    public void A_checkpoint_that_is_recorded_before_the_sending_still_stands_right_of_it()
    {
        // A merger puts a delivery behind its sending, and the forced checkpoint before it anywhere.
        Timeline timeline = Read(
            2,
            TraceEvent.Checkpoint(TraceEventKind.Forced, 1, 1),
            TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1),
            TraceEvent.Send(0, 1, 7, 1),
            TraceEvent.Receive(1, 7, 1));
        Mark forced = Assert.Single(timeline.Marks, mark => mark.Kind == MarkKind.Forced);
        Assert.True(forced.Column > forced.Cause!.Column);
    }

    [Fact]
    public void What_a_rollback_undoes_is_marked_and_the_line_is_that_of_the_history_that_stands()
    {
        Timeline timeline = Read(
            2,
            TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1),
            TraceEvent.Checkpoint(TraceEventKind.Basic, 1, 1),
            TraceEvent.Checkpoint(TraceEventKind.Basic, 1, 2),
            TraceEvent.Failure(1),
            TraceEvent.Rollback(1, 1, 1),
            TraceEvent.Checkpoint(TraceEventKind.Other, 1, 2));
        Assert.Equal([2L], timeline.Marks.Where(mark => mark.Undone).Select(mark => mark.Index));
        Mark rollback = Assert.Single(timeline.Marks, mark => mark.Kind == MarkKind.Rollback);
        Assert.Equal((MarkKind.Basic, 1L), (rollback.Cause!.Kind, rollback.Cause.Index));
        Assert.Equal(1, timeline.Line);
    }

    [Fact]
    public void A_message_from_before_its_own_cause_is_refused()
    {
        TraceException e = Assert.Throws<TraceException>(() => Read(
            2,
            TraceEvent.Checkpoint(TraceEventKind.Forced, 1, 1),
            TraceEvent.Send(1, 0, 1, 1),
            TraceEvent.Checkpoint(TraceEventKind.Forced, 0, 1),
            TraceEvent.Receive(0, 1, 1),
            TraceEvent.Send(0, 1, 0, 1),
            TraceEvent.Receive(1, 0, 1)));
        Assert.Contains("before it can have been sent", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_rollback_to_a_checkpoint_that_is_not_there_is_refused() =>
        Assert.Throws<TraceException>(() => Read(1, TraceEvent.Rollback(0, 3, 0)));

    [Fact]
    public void The_picture_has_a_square_for_each_checkpoint_an_arrow_for_each_forcing_message_and_names_escaped()
    {
        Timeline timeline = Read(
            2,
            TraceEvent.Checkpoint(TraceEventKind.Basic, 0, 1),
            TraceEvent.Send(0, 1, 0, 1),
            TraceEvent.Checkpoint(TraceEventKind.Forced, 1, 1),
            TraceEvent.Receive(1, 0, 1),
            TraceEvent.CheckpointFailed(0),
            TraceEvent.Failure(0),
            TraceEvent.Rollback(0, 1, 1));
        using var output = new MemoryStream();
        new TimelineSvg(timeline, ["a<b", "c&d"]).Write(output);
        output.Position = 0;
        XElement svg = XDocument.Load(output).Root!;
        string[] Classes(string element) => [.. svg.Elements(Svg + element).Select(e => (string?)e.Attribute("class") ?? "")];
        Assert.Equal(2, Classes("rect").Count(c => c == "initial"));

        // One in the picture and one in its legend; the one that failed after the checkpoint is undone by the rollback.
        Assert.Equal(2, Classes("rect").Count(c => c == "basic"));
        Assert.Equal(2, Classes("rect").Count(c => c == "forced"));
        Assert.Single(Classes("rect"), c => c == "failed undone");
        Assert.Equal(["message", "rollback", "line"], Classes("path").OrderBy(c => Array.IndexOf(["message", "rollback", "line"], c)));
        Assert.Contains(svg.Elements(Svg + "text"), e => e.Value == "a<b");
        int width = (int)svg.Attribute("width")!;
        Assert.All(svg.Elements(Svg + "rect"), e => Assert.InRange((int)e.Attribute("x")!, 0, width));
    }

    private static Timeline Read(int nodes, params TraceEvent[] events)
    {
        using var trace = new MemoryStream();
        using (TraceWriter writer = TraceWriter.Create(trace, TraceHeader.For(Bcs.Traits, nodes, rollbacks: true)))
        {
            foreach (TraceEvent item in events)
            {
                writer.Write(item);
            }

            writer.Complete();
        }

        return TimelineReader.Read(() =>
        {
            trace.Position = 0;
            return TraceReader.Open(trace);
        });
    }
}
