namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>Faults that <see cref="ModelGuest.Arm"/> injects. The numbers are stable; tests refer to them.</summary>
public enum ModelFault
{
    /// <summary>The guest ignores a request to suspend and runs on.</summary>
    SuspendNotAcknowledged = 1,

    /// <summary>The guest acknowledges a request to suspend and runs on.</summary>
    SuspendNotCompleted = 2,

    /// <summary>The guest acknowledges, and suspends just while the request is withdrawn.</summary>
    SuspendDuringWithdrawal = 3,

    /// <summary>The guest acknowledges, and suspends with its next step after the request was given up: an
    /// acknowledged request cannot be withdrawn. Whoever asked has to notice the suspended domain and resume it.</summary>
    SuspendAfterWithdrawal = 4,

    /// <summary>The guest acknowledges a request to suspend and crashes.</summary>
    CrashDuringSuspend = 5,

    /// <summary>Another program saves the domain (OFF, ENABLE, CLEAN, OFF) just before the next call on the log.</summary>
    DirtyLogStolen = 6,

    /// <summary>Pages that cannot be mapped for copying: they come back as unread.</summary>
    CopyFailure = 7,

    /// <summary>The domain is destroyed in the middle of the next operation on it.</summary>
    DestroyedDuringOperation = 8,

    /// <summary>The hypervisor refuses to resume the domain, which stays suspended.</summary>
    ResumeFailure = 9,
}
