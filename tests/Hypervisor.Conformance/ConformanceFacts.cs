using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Conformance;

/// <summary>What the conformance facts share: a target, its guest opened, and the guest running again at the end.</summary>
public abstract class ConformanceFacts : IAsyncLifetime
{
    private IConformanceTarget? _target;
    private IDomain? _domain;

    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    protected IConformanceTarget Target => _target!;

    protected IHypervisor Hypervisor => Target.Hypervisor;

    protected IDomain Domain => _domain!;

    public async ValueTask InitializeAsync()
    {
        _target = await CreateTargetAsync();
        _domain = Hypervisor.OpenDomain(Target.GuestUuid);
        Domain.Resume();
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_domain is not null)
        {
            _domain.Resume();
            _domain.Dispose();
        }

        if (_target is not null)
        {
            await _target.DisposeAsync();
        }
    }

    /// <summary>Makes the target of one fact. Several facts may share a guest, one after the other.</summary>
    protected abstract Task<IConformanceTarget> CreateTargetAsync();

    protected Task SuspendAsync() => Domain.SuspendAsync(Target.SuspendTimeout, Cancellation);

    protected Task LetRunAsync() => Target.LetRunAsync(Cancellation);

    protected void SkipUnlessPagesCanBeCopied() =>
        Assert.SkipUnless(Domain.CanCopyPages, "This guest's pages are not copied one by one.");
}
