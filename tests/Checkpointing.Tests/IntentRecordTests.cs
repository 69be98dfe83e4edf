using System.Text.Json;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>The intent record is on disk before what it tells of happens, and for as long as that is not undone: a process
/// that is killed at any point leaves enough to undo it.</summary>
public class IntentRecordTests
{
    [Fact]
    public async Task Domains_are_on_record_from_before_they_are_asked_until_they_run()
    {
        await using var node = new ModelNode(new NodeOptions { StateDirectory = "", StagingPages = 2048 });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        var seen = new List<NodeStep>();
        node.Watch = step =>
        {
            bool suspended = node.Hypervisor.ListDomains()[0].ShutdownReason is not null;
            bool recorded = Record(node, "Suspended").Contains(guest.Uuid);
            Assert.True(recorded || !suspended, $"suspended and not on record at {step}");
            if (step == NodeStep.IntentWritten)
            {
                Assert.True(recorded, "not on record, and about to be asked");
                Assert.False(suspended);
            }

            // What is on record is resumed by whoever finds it: nothing may stay there.
            if (step is NodeStep.Resumed or NodeStep.Committed)
            {
                Assert.False(recorded, $"still on record at {step}");
            }

            lock (seen)
            {
                seen.Add(step);
            }
        };
        _ = await node.CheckpointAsync(1);
        _ = await node.CheckpointAsync(2);
        Assert.Equal(Enum.GetValues<NodeStep>(), seen.Distinct().Order());
    }

    [Fact]
    public async Task Logs_are_on_record_for_as_long_as_they_are_on()
    {
        await using var node = new ModelNode(new NodeOptions { StateDirectory = "", StagingPages = 2048 });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        var ops = new List<ShadowOp>();
        guest.LogWatch = op =>
        {
            ops.Add(op);
            Assert.True(Record(node, "Logs").Contains(guest.Uuid), $"not on record at {op}");
        };
        _ = await node.CheckpointAsync(1);
        ModelGuest later = node.AddGuest("b", new StepperWorkload(2, 300, 8));
        later.LogWatch = guest.LogWatch + (op => Assert.Contains(later.Uuid, Record(node, "Logs")));
        _ = await node.CheckpointAsync(2);
        await node.Node.DisposeAsync();
        Assert.Equal(ShadowOp.EnableLogDirty, ops[0]);
        Assert.Equal(ShadowOp.Off, ops[^1]);
        Assert.Empty(Record(node, "Logs"));
    }

    private static List<Guid> Record(ModelNode node, string what)
    {
        string path = Path.Combine(node.Options.StateDirectory, "intent.json");
        if (!File.Exists(path))
        {
            return [];
        }

        using JsonDocument record = JsonDocument.Parse(File.ReadAllBytes(path));
        return [.. record.RootElement.EnumerateObject()
            .Single(p => string.Equals(p.Name, what, StringComparison.OrdinalIgnoreCase)).Value.EnumerateArray()
            .Select(e => e.GetGuid())];
    }
}
