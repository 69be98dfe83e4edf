using System.Diagnostics;
using XenTwoLevelCkpt.Hypervisor.Conformance;
using XenTwoLevelCkpt.Hypervisor.Model;
using XenTwoLevelCkpt.NativeInterop.Memory;
using Xunit;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>A model guest that runs in the background, for the conformance facts.</summary>
internal sealed class ModelTarget : IConformanceTarget
{
    private readonly ModelHypervisor _model = new();

    internal ModelTarget(GuestKind kind)
    {
        // The marks of a log are dirty without the guest.
        Allowances = Allowances.None with { ResidualDirty = kind == GuestKind.Pv ? 0 : ModelShadowLog.Marks.Count };
        Guest = _model.CreateDomain(new ModelDomainOptions
        {
            Name = "guest",
            Kind = kind,
            Workload = new StepperWorkload(seed: 7, pages: 4096),
            SuspendLatency = TimeSpan.FromMilliseconds(3),
        });
        Guest.Start(stepsPerSecond: 2000);
    }

    public IHypervisor Hypervisor => _model;

    public Guid GuestUuid => Guest.Uuid;

    public TimeSpan SuspendTimeout => TimeSpan.FromMinutes(5);

    public long Progress => Guest.Steps;

    internal ModelGuest Guest { get; }

    public async Task LetRunAsync(CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        for (long from = Guest.Steps; Guest.Steps == from;)
        {
            if (Stopwatch.GetElapsedTime(start) > TimeSpan.FromMinutes(5))
            {
                throw new TimeoutException("The guest does not run.");
            }

            await Task.Delay(1, cancellationToken);
        }
    }

    public void AskFromOutside() => Guest.SuspendFromOutside();

    public Allowances Allowances { get; }

    public void TakeLogOver() => Guest.TakeOverDirtyLog(visible: false);

    public ulong[] ReadTakenLog(bool clean)
    {
        ulong[] words = new ulong[DirtyBitmap.WordsFor(Guest.PfnCount)];
        Assert.Equal(0, Guest.ShadowControl(clean ? ShadowOp.Clean : ShadowOp.Peek, words));
        return words;
    }

    public void EndTakeover() => Guest.EndTakeover();

    public ValueTask DisposeAsync()
    {
        _model.Dispose();
        return ValueTask.CompletedTask;
    }
}
