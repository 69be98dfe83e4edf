[assembly: AssemblyFixture(typeof(XenTwoLevelCkpt.XenTests.LabFixture))]
[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace XenTwoLevelCkpt.XenTests;

/// <summary>A node with a PVH and a PV stepper, and a guest that checks all of its buffer in every step from the
/// beginning of the test run to its end.</summary>
public sealed class LabFixture : IAsyncLifetime
{
    internal const string Pvh = "step-pvh", Pv = "step-pv", Checksum = "checksum";

    public async ValueTask InitializeAsync()
    {
        Lab lab = Lab.Shared;
        lab.Do("up");
        lab.Do("push");
        lab.Do(
            "guest", "1", "create", Checksum, "stepper.pages=1024", "stepper.write=256", "stepper.period=200",
            "stepper.verify=all");
        lab.Do("guest", "1", "create", Pv, "--type", "pv", "--disk", "16", "stepper.pages=256");
        // The footprint is large and the rate high against what the guest's kernel writes by itself.
        lab.Do(
            "guest", "1", "create", Pvh, "--memory", "128", "--disk", "16", "stepper.pages=4096", "stepper.write=100",
            "stepper.period=100");
        foreach (string guest in new[] { Checksum, Pv, Pvh })
        {
            await Lab.WaitForAsync(() => Step.Parse(lab.Log(1, guest)).LastOrDefault(s => s.Number >= 10), guest);
        }
    }

    public ValueTask DisposeAsync()
    {
        foreach (string guest in new[] { Checksum, Pv, Pvh })
        {
            Lab.Shared.Run("guest", "1", "destroy", guest);
        }

        return ValueTask.CompletedTask;
    }
}
