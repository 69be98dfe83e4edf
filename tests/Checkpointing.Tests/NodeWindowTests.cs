using System.Collections.Concurrent;
using System.Globalization;
using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>The suspend window of whole node checkpoints: what is done before it, and what is noticed of what happens in it.</summary>
public class NodeWindowTests
{
    private static NodeOptions Small => new() { StateDirectory = "", StagingPages = 2048 };

    [Fact]
    public async Task Who_works_while_guests_are_suspended_goes_before_others_and_only_then()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "Lower nice values are root's business.");
        await using var node = new ModelNode(Small);
        node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        var seen = new ConcurrentQueue<(NodeStep Step, int Niceness)>();
        node.Watch = step => seen.Enqueue((step, Niceness()));
        int ordinary = Niceness();
        _ = await node.CheckpointAsync(1);
        _ = await node.CheckpointAsync(2);
        NodeStep[] inside = [NodeStep.Suspended, NodeStep.CollectingMemory, NodeStep.CollectingState, NodeStep.Collected];
        Assert.Equal(inside, seen.Where(s => s.Niceness == -15).Select(s => s.Step).Distinct().Order());
        Assert.All(seen.Where(s => !inside.Contains(s.Step)), s => Assert.Equal(ordinary, s.Niceness));

        // proc(5): the 19th field, counted behind the name in brackets.
        static int Niceness()
        {
            string stat = File.ReadAllText("/proc/thread-self/stat");
            return int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[19 - 3], CultureInfo.InvariantCulture);
        }
    }

    [Fact]
    public async Task What_a_guest_writes_while_it_suspends_itself_is_mapped_before_it_stands_still()
    {
        const int Cached = 16;
        await using var node = new ModelNode(Small with { CacheEntries = Cached });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 800, 8), suspendLatency: TimeSpan.FromMilliseconds(300));
        _ = await node.CheckpointAsync(1);
        node.Hypervisor.Start();

        // On a busy machine the guest may not get to write while it suspends itself, or nobody to look at it: then the next
        // checkpoint counts. Without the looks none would.
        CheckpointReport report;
        long prepared;
        ulong k = 1;
        do
        {
            long before = guest.CopiedPrepared;
            report = await node.CheckpointAsync(++k);
            prepared = guest.CopiedPrepared - before;
        }
        while (k < 200 && (report.Domains[0].Memory.Residual < 4 * Cached || prepared < 3 * Cached));

        node.Hypervisor.Stop();

        // Besides the cache, which is mapped before the request.
        Assert.InRange(report.Domains[0].Memory.Residual, 4 * Cached, long.MaxValue);
        Assert.InRange(prepared, 3 * Cached, long.MaxValue);
        node.RestoreAndCompare(report.Id);
    }

    [Fact]
    public async Task What_every_suspension_writes_is_mapped_before_the_guest_stands_still()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.Watch = step =>
        {
            // After the last look, and before the suspension; pages that the guest writes at no other time.
            for (long pfn = 900; step == NodeStep.IntentWritten && pfn < 905; pfn++)
            {
                guest.Map(pfn, MappingOwner.Backend).Dispose();
            }
        };
        for (ulong k = 1; k <= 4; k++)
        {
            node.Hypervisor.Advance(3);
            (long copied, long prepared) = (guest.CopiedSuspended, guest.CopiedPrepared);
            CheckpointReport report = await node.CheckpointAsync(k);
            Assert.InRange(report.Domains[0].Memory.Residual, 5, 64);

            // The first time nobody can know. The model does not map the two rings ahead.
            long unprepared = guest.CopiedSuspended - copied - (guest.CopiedPrepared - prepared);
            Assert.InRange(unprepared, k == 1 ? 5 + 2 : 0, k == 1 ? 64 : 2);
            node.Hypervisor.Advance(1);
        }
    }

    [Fact]
    public async Task A_balloon_that_moves_while_the_checkpoint_is_taken_is_noticed()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync(1);
        int suspensions = 0;
        using var stop = new CancellationTokenSource();
        node.Watch = step =>
        {
            // After the last comparison of page types, and before the suspension.
            if (step == NodeStep.IntentWritten && suspensions++ == 0)
            {
                Assert.True(guest.Populate(1100));
                Assert.True(guest.Unpopulate(900));
            }
        };
        CheckpointReport report = await node.CheckpointAsync(2);
        Assert.Equal(2, suspensions);
        node.RestoreAndCompare(report.Id);
    }

    [Theory]
    [InlineData(null, false, null)]
    [InlineData(NodeStep.IntentWritten, false, null)]
    [InlineData(NodeStep.Suspended, false, null)]
    [InlineData(NodeStep.Suspended, true, null)]
    [InlineData(NodeStep.Suspended, false, 0)]
    public async Task A_log_taken_over_by_another_program_makes_the_next_checkpoint_a_full_one_that_says_so(
        object? at, bool struck, int? cacheEntries)
    {
        await using var node = new ModelNode(Small with { CacheEntries = cacheEntries });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        node.AddGuest("b", new StepperWorkload(2, 300, 8));
        _ = await node.CheckpointAsync(1);
        node.Hypervisor.Advance(3);
        bool ran = false, committed = false;
        if (at is null)
        {
            guest.StealDirtyLog();
            guest.Step(3);
        }

        bool stolen = at is null;
        node.Watch = step =>
        {
            if (!stolen && step.Equals(at))
            {
                stolen = true;
                guest.StealDirtyLog();
            }

            ran |= step == NodeStep.Resumed;
            committed |= step == NodeStep.PartsWritten;
        };

        // What else goes wrong in the window does not hide it.
        node.Strike = struck ? (NodeStep.Collected, () => new HypervisorException("struck")) : null;
        CheckpointFailedException failure =
            await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2));
        Assert.Contains(struck ? "struck" : "switched off by another program", failure.Message, StringComparison.Ordinal);
        Assert.False(ran || committed);
        node.AssertNoneSuspended();
        node.Hypervisor.Advance(3);
        CheckpointReport next = await node.CheckpointAsync(2);
        Assert.Contains(
            "switched off by another program", next.Domains.Single(d => d.Name == "a").FullBecause!, StringComparison.Ordinal);
        Assert.Null(next.Domains.Single(d => d.Name == "b").FullBecause);
        node.RestoreAndCompare(next.Id);
    }

    /// <summary>The checkpoint has all by then.</summary>
    [Theory]
    [InlineData(NodeStep.Collected)]
    [InlineData(NodeStep.PartsWritten)]
    public async Task A_log_taken_over_after_its_final_reading_costs_the_next_increment_and_not_this_checkpoint(object at)
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync(1);
        node.Hypervisor.Advance(3);
        node.Watch = step =>
        {
            if (step.Equals(at))
            {
                node.Watch = null;
                guest.StealDirtyLog();
            }
        };
        CheckpointReport whole = await node.CheckpointAsync(2);
        node.Hypervisor.Advance(3);
        await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(3));
        CheckpointReport next = await node.CheckpointAsync(3);
        Assert.Contains("switched off by another program", next.Domains[0].FullBecause!, StringComparison.Ordinal);
        node.RestoreAndCompare(next.Id);
        node.RestoreAndCompare(whole.Id);
    }

    /// <summary>A live migration that runs while this node looks at the guest's log and takes checkpoints: it misses no page,
    /// and neither does the next checkpoint.</summary>
    [Fact]
    public async Task A_migration_under_way_misses_nothing_and_costs_a_full_checkpoint()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync(1);
        guest.TakeOverDirtyLog();
        ulong[] seen = new ulong[(guest.PfnCount + 63) / 64], words = new ulong[seen.Length];
        Dictionary<long, byte[]> before = Contents(guest);
        for (ulong round = 0; round < 4; round++)
        {
            node.Hypervisor.Advance(3);
            await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(2 + round));
            Assert.Equal(0, guest.ShadowControl(ShadowOp.Clean, words));
            for (int i = 0; i < seen.Length; i++)
            {
                seen[i] |= words[i];
            }
        }

        Assert.All(
            Contents(guest).Where(p => !before[p.Key].AsSpan().SequenceEqual(p.Value)),
            p => Assert.True((seen[p.Key >> 6] >> (int)(p.Key & 63) & 1) != 0, $"page {p.Key:x} is missing from the migration"));
        guest.EndTakeover();
        CheckpointReport next = await node.CheckpointAsync(7);
        Assert.NotNull(next.Domains[0].FullBecause);
        node.RestoreAndCompare(next.Id);
    }

    private static Dictionary<long, byte[]> Contents(ModelGuest guest) =>
        Enumerable.Range(0, 1024).ToDictionary(p => (long)p, p => guest.View.ReadPage(p).ToArray());

    [Fact]
    public async Task Caches_are_halved_after_a_residue_that_did_not_fit()
    {
        // Three quarters of the staging area are the cache's: with what comes late it fits only once the cache is smaller.
        await using var node = new ModelNode(Small with { StagingPages = 256 });
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        _ = await node.CheckpointAsync(1);
        Touch(guest, 400, 250);
        int attempt = 0;
        node.Watch = step =>
        {
            if (step == NodeStep.IntentWritten)
            {
                Touch(guest, 700 + (100 * attempt++), 100);
            }
        };
        CheckpointReport report = await node.CheckpointAsync(2);
        Assert.Equal(2, attempt);
        node.RestoreAndCompare(report.Id);
    }

    [Fact]
    public async Task The_rings_of_the_moment_of_the_suspension_are_in_the_channels_image()
    {
        await using var node = new ModelNode(Small);
        ModelGuest guest = node.AddGuest("a", new StepperWorkload(1, 300, 8));
        (string Blob, long Pfn)[] rings = [("xenstore-ring", 0xFEFFE), ("console-ring", 0xFEFFF)];
        foreach ((string blob, long pfn) in rings)
        {
            using WritableMapping mapping = guest.Map(pfn, MappingOwner.Backend);
            mapping.Write(7, System.Text.Encoding.ASCII.GetBytes(blob));
        }

        CheckpointReport report = await node.CheckpointAsync(1);
        using Chain chain = Chain.Open(node.Store, report.Id, guest.Uuid, ImageContent.Channels);
        var found = new Blobs();
        chain.Visit(found);
        foreach ((string blob, long pfn) in rings)
        {
            Assert.True(guest.View.ReadPage(pfn).SequenceEqual(found.Found[blob]), blob);
        }
    }

    private static void Touch(ModelGuest guest, long first, int count)
    {
        for (long pfn = first; pfn < first + count; pfn++)
        {
            guest.Map(pfn, MappingOwner.Backend).Dispose();
        }
    }

    private sealed class Blobs : ImageVisitor
    {
        internal Dictionary<string, byte[]> Found { get; } = [];

        public override void OnBlob(string name, ReadOnlySpan<byte> part, bool last) =>
            Found[name] = [.. Found.GetValueOrDefault(name, []), .. part];
    }
}
