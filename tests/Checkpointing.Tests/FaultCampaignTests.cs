using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>Faults at every numbered point, one at a time: after each, the same checkpoint without the fault succeeds, no
/// guest is left suspended, and what is in the store restores to what was there, from where the guests go on.</summary>
public class FaultCampaignTests(ITestOutputHelper output)
{
    // What restoring each checkpoint of a life costs is the square of its length.
    private const int LifeLength = 20;

    private static readonly ModelFault[] GuestFaults =
    [
        ModelFault.SuspendNotAcknowledged, ModelFault.SuspendNotCompleted, ModelFault.SuspendDuringWithdrawal,
        ModelFault.DirtyLogStolen, ModelFault.CopyFailure,
    ];

    public static TheoryData<int> Seeds => new(Enumerable.Range(1, 4));

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task After_each_fault_the_same_checkpoint_without_it_succeeds(int seed)
    {
        var random = new Random(seed);
        await using var node = new ModelNode(new NodeOptions
        {
            StateDirectory = "",
            StagingPages = 1024,
            CacheEntries = random.Next(3) == 0 ? 32 : null,
            SuspendTimeout = TimeSpan.FromMilliseconds(250),
        });
        node.AddGuest("a", new StepperWorkload(1, 300, 8), 512);
        node.AddGuest("b", new StepperWorkload(2, 100, 20), 512);
        node.Node.Start();
        int failed = 0;
        for (int round = 1; round <= Rounds;)
        {
            var life = new List<Guid>();
            for (; round <= Rounds && life.Count < LifeLength; round++)
            {
                node.Hypervisor.Advance(random.Next(1, 20));
                bool struck = Arm(node, random, round);
                CheckpointReport taken;
                try
                {
                    taken = await node.CheckpointAsync((ulong)round);
                }
                catch (CheckpointFailedException) when (struck)
                {
                    failed++;
                    node.AssertNoneSuspended();
                    Disarm(node);
                    taken = await node.CheckpointAsync((ulong)round);
                }
                finally
                {
                    Disarm(node);
                }

                node.AssertNoneSuspended();
                life.Add(taken.Id);
            }

            // The guests go on from the last one that is restored, with another process.
            await node.Node.DisposeAsync();
            Assert.Equal(round - 1, node.Store.Checkpoints.Count);
            life.ForEach(node.RestoreAndCompare);
            await node.RestartAsync();
            node.Node.Start();
        }

        output.WriteLine($"seed {seed}: {Rounds} checkpoints taken, {failed} attempts failed");
        Assert.InRange(failed, Rounds / 4, Rounds);
    }

    /// <summary>By default as many as a quick run allows; XTL_ROUNDS asks for more.</summary>
    private static int Rounds =>
        int.TryParse(Environment.GetEnvironmentVariable("XTL_ROUNDS"), out int rounds) ? rounds : 60;

    private static bool Arm(ModelNode node, Random random, int round)
    {
        ModelGuest guest = node.Hypervisor.Guests[random.Next(node.Hypervisor.Guests.Count)];
        switch (round % 4)
        {
            case 0:
                return false;
            case 1:
                ModelFault fault = GuestFaults[random.Next(GuestFaults.Length)];
                guest.Arm(
                    fault, persistent: fault == ModelFault.CopyFailure,
                    fault == ModelFault.CopyFailure ? new PfnRun(random.Next(300), 4) : null);
                return true;
            default:
                // A commit that is known to have happened is no failure of this checkpoint.
                NodeStep step = (NodeStep)random.Next((int)NodeStep.DomainsFound, (int)NodeStep.Committed);
                node.Strike = (step, () => random.Next(2) == 0
                    ? new IOException("No space left on device (injected).")
                    : new HypervisorException("The hypervisor said no (injected)."));
                return true;
        }
    }

    private static void Disarm(ModelNode node)
    {
        node.Strike = null;
        foreach (ModelGuest guest in node.Hypervisor.Guests)
        {
            foreach (ModelFault fault in GuestFaults)
            {
                guest.Disarm(fault);
            }
        }
    }
}
