using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Threads;

/// <summary>The share of a processor that the current thread gets beside others, by its nice value (setpriority(2)), which
/// <see cref="Thread.Priority"/> does not change on Linux.</summary>
public static class UrgentThread
{
    // The scheduler weighs it 28 times as much as an ordinary thread (Linux, sched_prio_to_weight). The kernel's own threads
    // that must not wait have -20.
    [NotInC("A choice from the range of setpriority(2), -20 to 19.")]
    private const int Niceness = -15;

    /// <summary>Lets the current thread go before ordinary ones.</summary>
    /// <returns>What <see cref="End"/> takes; null where this process may not (CAP_SYS_NICE), and nothing has changed.
    /// </returns>
    public static int? TryBegin()
    {
        int before = SysResource.getpriority(SysResource.PRIO_PROCESS, 0);
        return before > Niceness && SysResource.setpriority(SysResource.PRIO_PROCESS, 0, Niceness) == 0 ? before : null;
    }

    /// <summary>Makes the current thread an ordinary one again.</summary>
    /// <param name="before">What <see cref="TryBegin"/> gave on this thread.</param>
    public static void End(int? before)
    {
        if (before is { } niceness)
        {
            _ = SysResource.setpriority(SysResource.PRIO_PROCESS, 0, niceness);
        }
    }
}
