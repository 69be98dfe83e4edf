namespace XenTwoLevelCkpt.Hypervisor.Conformance;

/// <summary>A hypervisor with one running guest, for the conformance facts to work on.</summary>
/// <remarks>The guest runs by itself and writes memory in every step; the facts control it through
/// <see cref="IHypervisor"/> only, and leave it running.</remarks>
public interface IConformanceTarget : IAsyncDisposable
{
    IHypervisor Hypervisor { get; }

    /// <summary>The guest that the facts work on.</summary>
    Guid GuestUuid { get; }

    /// <summary>How long a healthy guest may take to suspend, generously.</summary>
    TimeSpan SuspendTimeout { get; }

    /// <summary>What this implementation may deviate by; nothing by default.</summary>
    Allowances Allowances => Allowances.None;

    /// <summary>Steps of the guest seen so far. Never falls. Once the guest is suspended, all its steps count.</summary>
    long Progress { get; }

    /// <summary>Waits until the guest has run at least one more whole step, and so has written pages.</summary>
    /// <exception cref="TimeoutException">The guest does not run.</exception>
    Task LetRunAsync(CancellationToken cancellationToken);

    /// <summary>Asks the guest to suspend as another program does.</summary>
    void AskFromOutside();

    /// <summary>Takes the guest's dirty log as a live migration does: ENABLE, and where that fails OFF and ENABLE.</summary>
    void TakeLogOver();

    /// <summary>Reads the log that was taken over, by CLEAN or PEEK.</summary>
    /// <param name="clean">Whether it is cleared.</param>
    ulong[] ReadTakenLog(bool clean);

    /// <summary>Switches the log off that was taken over.</summary>
    void EndTakeover();
}

/// <summary>Deviations that an implementation states.</summary>
/// <param name="ResidualDirty">Pages that a log may show though the guest has not written them.</param>
/// <param name="Unlogged">Pages that may change without showing in a final Clean, such as a ring that a backend
/// writes.</param>
/// <param name="Unreadable">Pages with contents that cannot be copied.</param>
/// <param name="ClockBytes">Bytes of the HVM context that go on with time while the guest is suspended: Xen saves
/// each vcpu's TSC as of the capture (<c>arch_hvm_save</c>, <c>sync_tsc</c>).</param>
public sealed record Allowances(int ResidualDirty, int Unlogged, int Unreadable, int ClockBytes)
{
    public static Allowances None { get; } = new(0, 0, 0, 0);
}
