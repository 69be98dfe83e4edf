using XenTwoLevelCkpt.Checkpointing.Disks;
using XenTwoLevelCkpt.Checkpointing.Disks.Thin;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.NativeInterop.Devices;

namespace XenTwoLevelCkpt.Checkpointing.Node;

/// <summary>Undoes what a process left behind that ended in the middle of a checkpoint.</summary>
public static class NodeRecovery
{
    /// <summary>Lets volumes go on that are suspended, resumes domains, and switches dirty logs off.</summary>
    /// <param name="state">The state directory.</param>
    /// <param name="hypervisor">The hypervisor.</param>
    /// <param name="waiting">Told what is waited for, before that takes time.</param>
    /// <returns>What was done, as sentences.</returns>
    /// <exception cref="StateLockedException">The process has not ended.</exception>
    public static IReadOnlyList<string> Run(string state, IHypervisor hypervisor, Action<string>? waiting = null)
    {
        // Disks first: a guest that runs without its disk hangs.
        return IntentFile.Recover(state, hypervisor, () => Volumes(new DiskRegistry(state)), waiting);
    }

    private static IReadOnlyList<string> Volumes(DiskRegistry registry)
    {
        try
        {
            if (registry.Read().Volumes.Count == 0)
            {
                return [];
            }

            using DeviceMapper mapper = DeviceMapper.Open();
            return new ThinVolumes(mapper, registry).Recover();
        }
        catch (Exception e) when (e is DiskException or IOException)
        {
            return [$"Volumes could not be looked at: {e.Message}"];
        }
    }
}
