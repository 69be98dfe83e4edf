using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>What a domain is restored from, beside its memory.</summary>
public sealed record RestoreRequest
{
    /// <summary>The UUID that the domain gets.</summary>
    public required Guid Uuid { get; init; }

    /// <summary>The name that the domain gets.</summary>
    public required string Name { get; init; }

    /// <summary>What it is made of.</summary>
    public required DomainConfiguration Configuration { get; init; }

    /// <summary>The state of the virtual machine.</summary>
    public required DomainRegisters Registers { get; init; }

    /// <summary>The highest PFN plus one.</summary>
    public required long PfnCount { get; init; }

    /// <summary>Of a PV guest: a file of <c>xl save</c> without pages; otherwise empty.</summary>
    public ReadOnlyMemory<byte> PvHead { get; init; }

    /// <summary>Of a PV guest: the type of each PFN (<see cref="PageType"/>), an octet each; otherwise empty.</summary>
    public ReadOnlyMemory<byte> PvPageTypes { get; init; }
}

/// <summary>Receives the memory of a domain.</summary>
public interface IPageSink
{
    /// <summary>Adds pages. A page comes once.</summary>
    /// <param name="runs">The PFNs.</param>
    /// <param name="data">Their contents, 4096 bytes each.</param>
    /// <exception cref="HypervisorException">The domain cannot be restored.</exception>
    void AddPages(ReadOnlySpan<PfnRun> runs, ReadOnlySpan<byte> data);

    /// <summary>Adds pages of zeros.</summary>
    /// <param name="run">The PFNs.</param>
    /// <exception cref="HypervisorException">The domain cannot be restored.</exception>
    void AddZeroPages(PfnRun run);
}

/// <summary>A domain that is being restored. Disposing it before <see cref="Complete"/> removes what there is of it.
/// </summary>
public interface IDomainRestore : IPageSink, IDisposable
{
    /// <summary>Ends the restore.</summary>
    /// <returns>The domain, paused: <see cref="IDomain.Unpause"/> lets it run. The caller disposes it.</returns>
    /// <exception cref="HypervisorException">The domain cannot be restored.</exception>
    IDomain Complete();
}
