namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <summary>What can be read of a guest, running or folded from an image.</summary>
public interface IGuestView
{
    /// <summary>The step counter of the registers.</summary>
    ulong StepCounter { get; }

    /// <summary>The number of blocks of the guest's disk.</summary>
    long BlockCount { get; }

    /// <summary>The contents of a page.</summary>
    /// <param name="pfn">A populated PFN.</param>
    ReadOnlySpan<byte> ReadPage(long pfn);

    /// <summary>The contents of a block of the guest's disk.</summary>
    /// <param name="block">A block below <see cref="BlockCount"/>.</param>
    ReadOnlySpan<byte> ReadBlock(long block);
}

/// <summary>The machine that a workload runs on. Used inside <see cref="IWorkload.Step"/> only.</summary>
public sealed class ModelVcpu : IGuestView
{
    private readonly ModelGuest _guest;

    internal ModelVcpu(ModelGuest guest) => _guest = guest;

    /// <summary>The UUID of the guest.</summary>
    public Guid Uuid => _guest.Uuid;

    /// <summary>General-purpose registers, captured and restored with the guest.</summary>
    public Span<ulong> Registers => _guest.Context.Registers;

    /// <inheritdoc/>
    public ulong StepCounter => _guest.Context.Steps;

    /// <inheritdoc/>
    public long BlockCount => _guest.Disk.BlockCount;

    /// <summary>True where memory is populated.</summary>
    /// <param name="pfn">Any PFN.</param>
    public bool IsPopulated(long pfn) => _guest.IsPopulated(pfn);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> ReadPage(long pfn) => _guest.GuestPage(pfn, write: false);

    /// <summary>A page to write: the dirty log records it now.</summary>
    /// <param name="pfn">A populated PFN; any other crashes the guest.</param>
    /// <returns>The page, to be written within this step.</returns>
    public Span<byte> WritePage(long pfn) => _guest.GuestPage(pfn, write: true);

    /// <inheritdoc/>
    public ReadOnlySpan<byte> ReadBlock(long block) => _guest.Disk.Read(block);

    /// <summary>A block of the disk to write within this step.</summary>
    /// <param name="block">A block below <see cref="BlockCount"/>.</param>
    public Span<byte> WriteBlock(long block) => _guest.Disk.View(block);

    /// <summary>Sends a message to another guest.</summary>
    /// <param name="to">The UUID of the receiver.</param>
    /// <param name="payload">The message; copied.</param>
    public void Send(Guid to, ReadOnlySpan<byte> payload) => _guest.Network.Send(_guest.Uuid, to, payload);

    /// <summary>Takes the oldest message for this guest.</summary>
    /// <param name="buffer">Receives the message.</param>
    /// <param name="length">The message's bytes.</param>
    /// <returns>False when there is none.</returns>
    public bool TryReceive(Span<byte> buffer, out int length) =>
        _guest.Network.TryReceive(_guest.Uuid, buffer, out length);

    /// <summary>Balloons a page in; see <see cref="ModelGuest.Populate"/>.</summary>
    /// <param name="pfn">The PFN.</param>
    public bool Populate(long pfn) => _guest.Populate(pfn);

    /// <summary>Balloons a page out; see <see cref="ModelGuest.Unpopulate"/>.</summary>
    /// <param name="pfn">The PFN.</param>
    public bool Unpopulate(long pfn) => _guest.Unpopulate(pfn);
}

/// <summary>The guest touched a PFN that is not populated, which crashes it.</summary>
internal sealed class GuestPageFaultException(long pfn) : Exception($"PFN {pfn:x} is not populated.");
