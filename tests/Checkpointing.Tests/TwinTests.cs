using XenTwoLevelCkpt.Checkpointing.Node;
using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Checkpointing.Restore;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.Images.Store;
using XenTwoLevelCkpt.NativeInterop.Processes;
using Xunit;

namespace XenTwoLevelCkpt.Checkpointing.Tests;

/// <summary>Two domains with one UUID on a host, as both ends of a local migration are, or a copied configuration makes them.
/// </summary>
public sealed class TwinTests
{
    [Fact]
    public async Task Both_are_named_and_the_others_are_saved()
    {
        await using var node = new ModelNode();
        ModelGuest well = node.AddGuest("well", new StepperWorkload(1, 300, 8));
        ModelGuest twin = node.AddGuest("twin", new StepperWorkload(1, 300, 8));
        using var host = new TwinHypervisor(node.Hypervisor, twin.Uuid);
        await using var checkpointer = new NodeCheckpointer(
            host, node.Store, node.Disks, node.Options with { WhenUnable = UnableRule.Skip, StateDirectory = $"{node.Options.StateDirectory}-twins" });
        CheckpointReport whole = await checkpointer.CheckpointAsync(1, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(2, whole.Domains.Count);

        host.HasTwin = true;
        Assert.Equal(2, host.ListDomains().Count(d => d.Uuid == twin.Uuid));
        node.Hypervisor.Advance(3);
        CheckpointReport report = await checkpointer.CheckpointAsync(2, cancellationToken: TestContext.Current.CancellationToken);

        Assert.Equal(well.Uuid, Assert.Single(report.Domains).Uuid);
        Assert.Equal(["other", "twin"], report.LeftOut.Select(d => d.Name).Order(StringComparer.Ordinal));
        Assert.All(report.LeftOut, d =>
        {
            Assert.Equal("ambiguous", d.Reason);
            Assert.Contains($"twin ({twin.Id})", d.Message, StringComparison.Ordinal);
            Assert.Contains($"other ({TwinHypervisor.OtherId})", d.Message, StringComparison.Ordinal);
            Assert.Contains("give it another UUID", d.Message, StringComparison.Ordinal);
        });
        Assert.Equal("ambiguous", checkpointer.Coverage[twin.Uuid].LeftOut!.Reason);
        Assert.Null(checkpointer.Coverage[well.Uuid].LeftOut);
        Assert.Equal(2, node.Store.Checkpoints.Single(m => m.Id == report.Id).LeftOut.Count);

        // What the twin writes meanwhile is in its next checkpoint, which builds upon its last.
        host.HasTwin = false;
        node.Hypervisor.Advance(3);
        CheckpointReport next = await checkpointer.CheckpointAsync(3, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(2, next.Domains.Count);
        Assert.Null(next.Domains.Single(d => d.Uuid == twin.Uuid).FullBecause);
    }

    [Fact]
    public async Task A_checkpoint_of_before_is_not_restored_over_them()
    {
        await using var node = new ModelNode();
        ModelGuest twin = node.AddGuest("twin", new StepperWorkload(1, 300, 8));
        using var host = new TwinHypervisor(node.Hypervisor, twin.Uuid) { HasTwin = false };
        CheckpointReport report = await node.CheckpointAsync();
        host.HasTwin = true;
        CheckpointManifest manifest = node.Store.Checkpoints.Single(m => m.Id == report.Id);
        HypervisorException e = Assert.ThrowsAny<HypervisorException>(
            () => new Restorer(node.Store).Restore(host, manifest, disks: node.Disks));
        Assert.Contains("twin", e.Message, StringComparison.Ordinal);
        Assert.Contains(node.Hypervisor.Guests, g => g.Uuid == twin.Uuid);
    }

    /// <summary>A model's host that lists a second domain with the UUID of one of its guests.</summary>
    private sealed class TwinHypervisor(ModelHypervisor inner, Guid uuid) : IHypervisor
    {
        internal const int OtherId = 99;

        internal bool HasTwin { get; set; }

        public HypervisorInfo Info => inner.Info;

        public IReadOnlyList<DomainInfo> ListDomains(CancellationToken cancellationToken = default)
        {
            IReadOnlyList<DomainInfo> domains = inner.ListDomains(cancellationToken);
            return HasTwin
                ? [.. domains, domains.Single(d => d.Uuid == uuid) with { Id = OtherId, Name = "other" }]
                : domains;
        }

        public IDomain OpenDomain(Guid uuid) => inner.OpenDomain(uuid);

        public IReadOnlyList<ProcessIdentity> FindMonitors() => inner.FindMonitors();

        public void StopMonitors(IReadOnlyList<ProcessIdentity> monitors) => inner.StopMonitors(monitors);

        public void ContinueMonitors(IReadOnlyList<ProcessIdentity> monitors) => inner.ContinueMonitors(monitors);

        public IReadOnlyList<string> FindObstacles(
            IReadOnlyList<RestoreRequest> wanted, IReadOnlyCollection<Guid> going, CancellationToken cancellationToken = default) =>
            inner.FindObstacles(wanted, going, cancellationToken);

        public IDomainRestore BeginRestore(RestoreRequest request) => inner.BeginRestore(request);

        public void Dispose()
        {
        }
    }
}
