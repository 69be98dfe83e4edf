using System.Diagnostics;
using XenTwoLevelCkpt.Hypervisor.Conformance;
using XenTwoLevelCkpt.Hypervisor.Model;

namespace XenTwoLevelCkpt.Hypervisor.Tests;

/// <summary>A model guest that runs in the background, for the conformance facts.</summary>
internal sealed class ModelTarget : IConformanceTarget
{
    private readonly ModelHypervisor _model = new();

    internal ModelTarget(GuestKind kind)
    {
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

    public ValueTask DisposeAsync()
    {
        _model.Dispose();
        return ValueTask.CompletedTask;
    }
}
