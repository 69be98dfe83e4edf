namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>What was left of a request to suspend (<see cref="IDomain.UndoSuspend"/>).</summary>
public enum SuspendRemains
{
    /// <summary>Nothing that could still suspend the guest.</summary>
    None,

    /// <summary>The guest was suspended, and goes on now.</summary>
    Resumed,

    /// <summary>The guest has acknowledged the request, which cannot be taken back: it may suspend at any moment.</summary>
    MayFollow,
}
