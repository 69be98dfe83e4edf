using System.Text;
using XenTwoLevelCkpt.Protocol.Checking;
using Xunit;

namespace XenTwoLevelCkpt.Protocol.Tests.Checking;

/// <summary>Small traces in which a checker easily overlooks something, or tells too much.</summary>
public sealed class FixedTraceTests
{
    private const string FirstAtLeast = """{"type":"xtl-trace","version":1,"nodes":2,"protocol":"","line":"first-at-least","rollbacks":true,"channelLogs":true}""";
    private const string LastBeforeReaching = """{"type":"xtl-trace","version":1,"nodes":3,"protocol":"","line":"last-before-reaching","rollbacks":true,"channelLogs":true}""";

    // Node 0 goes back to its beginning, so that its first message was never sent, and sends another one to the same interval of node 1.
    [Fact]
    public void A_later_message_does_not_hide_one_whose_sending_was_undone()
    {
        CheckReport report = Check(FirstAtLeast, """
            {"type":"send","node":0,"to":1,"message":0,"index":0}
            {"type":"receive-logged","node":1,"message":0,"index":0}
            {"type":"failure","node":0}
            {"type":"rollback","node":0,"checkpoint":0,"index":0}
            {"type":"send","node":0,"to":1,"message":1,"index":0}
            {"type":"receive-logged","node":1,"message":1,"index":0}
            {"type":"basic","node":1,"index":1}
            """);
        Assert.False(report.Sound);
        AssertFound(report, "node 1: a delivery from node 0 stands whose sending was undone");
    }

    [Fact]
    public void No_consistent_line_has_a_delivery_whose_sending_was_undone()
    {
        CheckReport report = Check(FirstAtLeast, """
            {"type":"send","node":0,"to":1,"message":0,"index":0}
            {"type":"receive-logged","node":1,"message":0,"index":0}
            {"type":"basic","node":1,"index":1}
            {"type":"rollback","node":0,"checkpoint":0,"index":0}
            """);
        AssertFound(report, "node 1: a delivery from node 0 stands whose sending was undone");
        Assert.Equal([0, 0], report.GreatestLine);
        Assert.Equal(2, report.SingleFailureNodesMax);
    }

    [Fact]
    public void What_is_delivered_after_its_sending_was_undone_is_a_ghost_and_no_orphan_over_lines() => AssertFound(
        Check(FirstAtLeast, """
            {"type":"basic","node":0,"index":2}
            {"type":"send","node":0,"to":1,"message":0,"index":2}
            {"type":"rollback","node":0,"checkpoint":0,"index":0}
            {"type":"receive-logged","node":1,"message":0,"index":0}
            """),
        "node 1: message 0 of node 0 is delivered after its sending was undone",
        "node 1: a delivery from node 0 stands whose sending was undone");

    // The first checkpoints with labels of at least 1 to 5 are all the one with label 5.
    [Fact]
    public void A_label_that_falls_does_not_take_the_index_with_it() => AssertFound(
        Check(FirstAtLeast, """
            {"type":"basic","node":0,"index":5}
            {"type":"basic","node":0,"index":0}
            {"type":"basic","node":0,"index":3}
            {"type":"send","node":0,"to":1,"message":0,"index":3}
            {"type":"receive-logged","node":1,"message":0,"index":0}
            {"type":"rollback","node":0,"checkpoint":2,"index":0}
            {"type":"basic","node":0,"index":4}
            """),
        "node 0: a checkpoint with label 0 where the index was 5",
        "node 0: a checkpoint with label 3 where the index was 5",
        "node 1: a message of node 0 is an orphan over the lines 1 to 5",
        "node 0: a checkpoint with label 4 where the index was 5",
        "node 1: a delivery from node 0 stands whose sending was undone");

    [Fact]
    public void Deliveries_that_a_rollback_undoes_had_to_be_logged_too() => AssertFound(
        Check(FirstAtLeast, """
            {"type":"send","node":0,"to":1,"message":0,"index":0}
            {"type":"basic","node":1,"index":2}
            {"type":"receive","node":1,"message":0,"index":2}
            {"type":"failure","node":1}
            {"type":"rollback","node":1,"checkpoint":1,"index":2}
            {"type":"receive-logged","node":1,"message":0,"index":2}
            """),
        "node 1: a message of node 0 crosses the lines 1 to 2 and was not logged");

    [Fact]
    public void Of_messages_that_were_not_logged_the_one_over_the_most_lines_tells() => AssertFound(
        Check(FirstAtLeast, """
            {"type":"basic","node":0,"index":2}
            {"type":"send","node":0,"to":1,"message":0,"index":2}
            {"type":"basic","node":1,"index":4}
            {"type":"receive","node":1,"message":0,"index":4}
            {"type":"rollback","node":0,"checkpoint":0,"index":0}
            {"type":"send","node":0,"to":1,"message":1,"index":0}
            {"type":"receive","node":1,"message":1,"index":4}
            """),
        "node 1: a message of node 0 crosses the lines 1 to 4 and was not logged",
        "node 1: a delivery from node 0 stands whose sending was undone");

    // Both were sent in one interval, and the index rose between them.
    [Fact]
    public void The_index_at_a_send_counts_and_not_that_at_another_one_of_its_interval() => AssertFound(
        Check(LastBeforeReaching, """
            {"type":"send","node":1,"to":0,"message":0,"index":0}
            {"type":"send","node":1,"to":0,"message":1,"index":5}
            {"type":"receive","node":0,"message":1,"index":5}
            {"type":"receive","node":0,"message":0,"index":5}
            """),
        "node 0: a message of node 1 crosses the lines 1 to 5 and was not logged");

    [Fact]
    public void A_small_window_does_not_move_the_index_at_a_send()
    {
        const string Records = """
            {"type":"send","node":1,"to":2,"message":0,"index":0}
            {"type":"index","node":1,"index":3}
            {"type":"basic","node":1,"index":3}
            {"type":"basic","node":2,"index":3}
            {"type":"receive","node":2,"message":0,"index":3}
            """;
        foreach (int window in new[] { 1, 1000 })
        {
            AssertFound(
                Check(LastBeforeReaching, Records, new CheckOptions { Window = window }),
                "node 2: a message of node 1 crosses the lines 1 to 3 and was not logged");
        }
    }

    // The checker has judged node 1's interval for good; node 2 cannot leave its own before node 0 does.
    [Fact]
    public void A_small_window_does_not_tell_of_an_orphan_that_is_undone()
    {
        const string Records = """
            {"type":"send","node":1,"to":2,"message":0,"index":2}
            {"type":"other","node":1,"index":3}
            {"type":"send","node":0,"to":2,"message":1,"index":0}
            {"type":"receive-logged","node":2,"message":1,"index":0}
            {"type":"receive-logged","node":2,"message":0,"index":0}
            {"type":"other","node":2,"index":4}
            {"type":"rollback","node":2,"checkpoint":0,"index":4}
            {"type":"receive-logged","node":2,"message":1,"index":4}
            {"type":"receive-logged","node":2,"message":0,"index":4}
            """;
        foreach (int window in new[] { 1, 1000 })
        {
            AssertFound(Check(LastBeforeReaching, Records, new CheckOptions { Window = window }));
        }
    }

    [Fact]
    public void What_was_delivered_twice_and_taken_back_once_is_delivered() => AssertFound(
        Check(FirstAtLeast, """
            {"type":"send","node":0,"to":1,"message":0,"index":0}
            {"type":"receive-logged","node":1,"message":0,"index":0}
            {"type":"basic","node":1,"index":1}
            {"type":"receive-logged","node":1,"message":0,"index":1}
            {"type":"rollback","node":1,"checkpoint":1,"index":1}
            """),
        "node 1: message 0 of node 0 is delivered twice");

    [Fact]
    public void A_small_window_keeps_what_crosses_the_given_line_and_was_not_logged()
    {
        const string Records = """
            {"type":"send","node":0,"to":1,"message":0,"index":0}
            {"type":"basic","node":0,"index":0}
            {"type":"receive","node":1,"message":0,"index":0}
            {"type":"basic","node":1,"index":0}
            {"type":"basic","node":1,"index":0}
            """;
        foreach (int window in new[] { 1, 1000 })
        {
            AssertFound(
                Check(FirstAtLeast, Records, new CheckOptions { Window = window, Line = [1, 0] }),
                "node 1: a message of node 0 crosses the given line and was not logged");
        }
    }

    private static void AssertFound(CheckReport report, params string[] findings) =>
        Assert.Equal(findings, report.Findings.Select(finding => finding.Text));

    private static CheckReport Check(string header, string records, CheckOptions? options = null)
    {
        string trace = $$"""
            {{header}}
            {{records}}
            {"type":"end","records":{{records.Split('\n').Length}}}

            """;
        return TraceChecker.Check(new MemoryStream(Encoding.UTF8.GetBytes(trace)), options);
    }
}
