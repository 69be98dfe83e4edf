[assembly: AssemblyFixture(typeof(XenTwoLevelCkpt.XenTests.LabFixture))]
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

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
        lab.Do(Lab.Push);
        // A run that was cut short may have left its guests.
        foreach (string guest in lab.Do("guest", "1", "list").Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            lab.Do("guest", "1", "destroy", guest);
        }

        // They share the node's one processor with what is tested: a step a second leaves most of it.
        lab.Do(
            "guest", "1", "create", Checksum, "stepper.pages=1024", "stepper.write=256", "stepper.period=1000",
            "stepper.verify=all");
        lab.Do("guest", "1", "create", Pv, "--type", "pv", "--disk", "16", "stepper.pages=256", "stepper.period=1000");
        lab.Do("guest", "1", "create", Pvh, "--disk", "16", "stepper.pages=256", "stepper.period=1000");
        foreach (string guest in new[] { Checksum, Pv, Pvh })
        {
            await lab.StepBeyondAsync(1, guest, 10);
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
