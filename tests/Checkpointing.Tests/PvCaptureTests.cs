using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Chains;
using XenTwoLevelCkpt.Images.Format;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>PV guests in node checkpoints: what the chain says of their memory is what it was when they were suspended.</summary>
public class PvCaptureTests
{
    // Less than a guest has: without a log all that changed comes while it is suspended.
    private static NodeOptions Small => new() { StateDirectory = "", StagingPages = 1024 };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Every_checkpoint_of_a_chain_has_what_was_there(bool withoutLog)
    {
        await using var node = new ModelNode(Small, disks: false);
        ModelGuest a = Add(node, "a", withoutLog), b = Add(node, "b", withoutLog);
        node.AddGuest("c", new StepperWorkload(3, 300, 8));
        var judge = new Judge(node, a, b);
        for (ulong k = 1; k <= 4; k++)
        {
            CheckpointReport report = await node.CheckpointAsync(k);
            judge.AssertSame(report.Id);
            foreach (DomainReport domain in report.Domains.Where(d => d.Name != "c"))
            {
                Assert.Equal(k == 1, domain.FullBecause is not null);
                Assert.InRange(domain.Memory.Copied, 1, k == 1 ? 3000 : 100);
            }

            node.Hypervisor.Advance(5);
        }
    }

    [Fact]
    public async Task Several_guests_stream_side_by_side()
    {
        await using var node = new ModelNode(Small, disks: false);
        ModelGuest[] guests = [Add(node, "a"), Add(node, "b"), Add(node, "c")];
        using var all = new CountdownEvent(guests.Length);
        bool alone = false;
        foreach (ModelGuest guest in guests)
        {
            guest.LogWatch = op =>
            {
                if (op == ShadowOp.EnableLogDirty)
                {
                    // Nobody's stream begins before everybody's does.
                    guest.LogWatch = null;
                    all.Signal();
                    alone |= !all.Wait(TimeSpan.FromSeconds(20));
                }
            };
        }

        var judge = new Judge(node, guests);
        CheckpointReport report = await node.CheckpointAsync(1);
        Assert.False(alone, "one guest's stream waited for another's to end");
        judge.AssertSame(report.Id);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(NodeStep.IntentWritten)]
    public async Task A_guest_that_is_still_booting_is_followed(object? at)
    {
        await using var node = new ModelNode(Small, disks: false);
        ModelGuest guest = Add(node, "a");
        _ = await node.CheckpointAsync(1);
        bool grown = false;
        var judge = new Judge(node, guest)
        {
            At = step =>
            {
                if (step.Equals(at) && !grown)
                {
                    grown = true;
                    Assert.True(guest.Populate(4000));
                }
            },
        };
        if (at is null)
        {
            Assert.True(guest.Populate(4000));
        }

        CheckpointReport report = await node.CheckpointAsync(2);
        Assert.Contains("grew", report.Domains[0].FullBecause!, StringComparison.Ordinal);
        judge.AssertSame(report.Id);
        node.Hypervisor.Advance(3);
        CheckpointReport next = await node.CheckpointAsync(3);
        Assert.Null(next.Domains[0].FullBecause);
        judge.AssertSame(next.Id);
    }

    [Fact]
    public async Task A_log_that_another_program_has_is_left_to_it()
    {
        await using var node = new ModelNode(Small, disks: false);
        ModelGuest guest = Add(node, "a");
        guest.TakeOverDirtyLog(visible: false);
        CheckpointFailedException failure = await Assert.ThrowsAsync<CheckpointFailedException>(() => node.CheckpointAsync(1));
        Assert.Contains("in use by another program", failure.Message, StringComparison.Ordinal);
        Assert.Equal(-22, guest.ShadowControl(ShadowOp.EnableLogDirty));
        guest.EndTakeover();
        var judge = new Judge(node, guest);
        judge.AssertSame((await node.CheckpointAsync(1)).Id);
    }

    private static ModelGuest Add(ModelNode node, string name, bool withoutLog = false) =>
        node.Hypervisor.CreateDomain(new ModelDomainOptions
        {
            Name = name,
            Kind = GuestKind.Pv,
            MemoryPages = 3000,
            GrowsToPages = 5000,
            DiskBlocks = 0,
            WithoutDirtyLog = withoutLog,
            Workload = new StepperWorkload((ulong)name[0], 2500, 8),
        });

    // What the guests had when they were suspended last.
    private sealed class Judge
    {
        private readonly ModelNode _node;
        private readonly ModelGuest[] _guests;
        private readonly Dictionary<Guid, Dictionary<long, byte[]>> _was = [];

        internal Judge(ModelNode node, params ModelGuest[] guests)
        {
            (_node, _guests) = (node, guests);
            node.Watch = Note;
        }

        internal Action<NodeStep>? At { get; init; }

        internal void AssertSame(Guid checkpoint)
        {
            foreach (ModelGuest guest in _guests)
            {
                var found = new Found();
                using Chain chain = Chain.Open(_node.Store, checkpoint, guest.Uuid, ImageContent.Memory);
                chain.Visit(found);
                Assert.Equal(_was[guest.Uuid].Keys.Order(), found.Pages.Keys.Order());
                Assert.All(_was[guest.Uuid], p => Assert.True(
                    p.Value.AsSpan().SequenceEqual(found.Pages[p.Key]), $"page {p.Key:x} of {guest.Name} differs"));
            }
        }

        private void Note(NodeStep step)
        {
            At?.Invoke(step);
            if (step != NodeStep.Suspended)
            {
                return;
            }

            foreach (ModelGuest guest in _guests)
            {
                Dictionary<long, byte[]> pages = [];
                for (long pfn = 0; pfn < guest.PfnCount; pfn++)
                {
                    if (((ModelVcpu)guest.View).IsPopulated(pfn))
                    {
                        pages[pfn] = guest.View.ReadPage(pfn).ToArray();
                    }
                }

                _was[guest.Uuid] = pages;
            }
        }
    }

    private sealed class Found : ImageVisitor
    {
        internal Dictionary<long, byte[]> Pages { get; } = [];

        public override void OnData(PfnRun run, ReadOnlySpan<byte> data)
        {
            for (int i = 0; i < run.Count; i++)
            {
                Pages[run.First + i] = data.Slice(i * 4096, 4096).ToArray();
            }
        }

        public override void OnZero(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                Pages[pfn] = new byte[4096];
            }
        }

        public override void OnUnpopulated(PfnRun run)
        {
            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                _ = Pages.Remove(pfn);
            }
        }
    }
}
