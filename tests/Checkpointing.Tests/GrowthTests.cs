using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor.Model;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>Guests that are given page frames beyond all that they had, and lose them again.</summary>
public class GrowthTests
{
    private static NodeOptions Small => new() { StateDirectory = "", StagingPages = 2048 };

    /// <summary>Seen by a look at the log, by the comparison of types before the suspension, or only when the guest runs again.
    /// </summary>
    [Theory]
    [InlineData(null, true)]
    [InlineData(null, false)]
    [InlineData(NodeStep.IntentWritten, false)]
    [InlineData(NodeStep.Collected, false)]
    public async Task A_guest_whose_memory_grows_and_shrinks_is_followed(object? at, bool sampled)
    {
        await using var node = new ModelNode(Small with { MinSampleInterval = TimeSpan.FromMilliseconds(1) });
        ModelGuest guest = node.Hypervisor.CreateDomain(new ModelDomainOptions
        {
            Name = "a",
            MemoryPages = 1024,
            DiskBlocks = 64,
            GrowsToPages = 0xF0000 + 2048,
            Workload = new StepperWorkload(1, 300, 8),
        });
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        if (sampled)
        {
            node.Node.Start();
        }

        CheckpointReport small = await node.CheckpointAsync(1);
        const long Beyond = 0x100000 + 1000;
        bool grown = false;
        node.Watch = step =>
        {
            if (step.Equals(at) && !grown)
            {
                grown = true;
                Assert.True(guest.Populate(Beyond));
            }
        };
        if (at is null)
        {
            Assert.True(guest.Populate(Beyond));
            if (sampled)
            {
                SpinWait.SpinUntil(() => node.Said("physical map grew"), TimeSpan.FromMinutes(1));
            }
        }

        node.Hypervisor.Advance(3);
        CheckpointReport large = await node.CheckpointAsync(2);
        Assert.Equal(Beyond + 1, guest.PfnCount);
        Assert.Contains("grew", large.Domains.Single(d => d.Name == "a").FullBecause!, StringComparison.Ordinal);
        Assert.Null(large.Domains.Single(d => d.Name == "b").FullBecause);
        using (WritableMapping mapping = guest.Map(Beyond, MappingOwner.Backend))
        {
            mapping.Write(0, "beyond"u8);
        }

        node.Hypervisor.Advance(3);
        CheckpointReport increment = await node.CheckpointAsync(3);
        Assert.All(increment.Domains, d => Assert.Null(d.FullBecause));
        Assert.True(guest.Unpopulate(Beyond));
        CheckpointReport shrunk = await node.CheckpointAsync(4);
        Assert.All(shrunk.Domains, d => Assert.Null(d.FullBecause));
        await node.Node.DisposeAsync();
        foreach (CheckpointReport report in new[] { shrunk, increment, large, small })
        {
            node.RestoreAndCompare(report.Id);
        }
    }
}
