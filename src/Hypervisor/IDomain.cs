using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor;

/// <summary>One domain, known by its UUID.</summary>
public interface IDomain : IDisposable
{
    /// <summary>The domain's UUID.</summary>
    Guid Uuid { get; }

    /// <summary>The domain's id at the time it was opened.</summary>
    int Id { get; }

    /// <summary>How the guest is virtualised.</summary>
    GuestKind Kind { get; }

    /// <summary>True where <see cref="CopyPages"/> reads this guest's pages. A PV guest's memory is machine
    /// frames behind its own p2m and is read through libxenguest's saver instead.</summary>
    bool CanCopyPages { get; }

    /// <summary>The present state of the domain.</summary>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    DomainInfo GetInfo();

    /// <summary>The highest PFN in use plus one: the number of bits of a dirty bitmap.</summary>
    /// <remarks>Much larger than the number of populated pages: a PVH guest's special pages lie under 4 GiB.</remarks>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    long GetPfnCount();

    /// <summary>The number of pages that the hypervisor has allocated for the domain: for a guest whose physical map Xen
    /// keeps, as many as PFNs are populated while nothing changes.</summary>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    long GetPageCount();

    /// <summary>Reads what each PFN of a range is.</summary>
    /// <param name="first">The first PFN.</param>
    /// <param name="types">Receives one type for each PFN from <paramref name="first"/> on;
    /// <see cref="PageType.Unpopulated"/> from <see cref="GetPfnCount"/> on.</param>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    void GetPageTypes(long first, Span<PageType> types);

    /// <summary>Copies guest pages.</summary>
    /// <param name="runs">The PFNs to copy.</param>
    /// <param name="destination">Receives the pages one after the other, 4096 bytes each; at least as long as
    /// the runs ask for.</param>
    /// <param name="unread">Cleared, then receives the PFNs that could not be read (not populated, ballooned out);
    /// their place in <paramref name="destination"/> holds zeros.</param>
    /// <returns>The number of pages copied.</returns>
    /// <remarks>A page of a running guest may be torn: the guest may write it during the copy. Such a write also
    /// marks the page dirty again.</remarks>
    /// <exception cref="ArgumentException"><paramref name="destination"/> is too short, or a run is empty; nothing
    /// has changed.</exception>
    /// <exception cref="NotSupportedException"><see cref="CanCopyPages"/> is false.</exception>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    int CopyPages(ReadOnlySpan<PfnRun> runs, Span<byte> destination, ICollection<long> unread);

    /// <summary>Does what can be done ahead of a capture of a suspended domain, so that it takes less time: maps pages that
    /// will be copied, and reads what does not change while the domain runs.</summary>
    /// <param name="pages">Pages that <see cref="CopyPages"/> will be asked for; others may be asked for, too.</param>
    /// <remarks>Lasts until <see cref="EndCapture"/>; mapped pages stay allocated as long. A page that leaves the
    /// physical map meanwhile is still copied as it was.</remarks>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    void PrepareCapture(ReadOnlySpan<PfnRun> pages);

    /// <summary>Maps further pages after <see cref="PrepareCapture"/>, for example those that the domain writes while it is
    /// about to suspend itself. Does nothing where that was not called.</summary>
    /// <param name="pages">The pages; those that are mapped already are passed over.</param>
    /// <returns>The number of pages mapped now.</returns>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    int ExtendCapture(ReadOnlySpan<PfnRun> pages);

    /// <summary>Gives back what <see cref="PrepareCapture"/> and <see cref="ExtendCapture"/> took. Does nothing where that was not called.</summary>
    void EndCapture();

    /// <summary>Starts recording which pages the domain writes. The log starts out empty.</summary>
    /// <returns>The log; disposing it stops the recording.</returns>
    /// <exception cref="DirtyLogBusyException">Somebody else records already: a log has one owner.</exception>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    IDirtyLog StartDirtyLog();

    /// <summary>Asks the guest to suspend itself and waits until it has.</summary>
    /// <param name="timeout">How long the guest has in all, to acknowledge and to suspend; positive.</param>
    /// <param name="cancellationToken">Gives the attempt up: like a timeout, it leaves the guest running.</param>
    /// <remarks>A guest that has not suspended in time goes on running: the request is withdrawn, and where
    /// the guest suspended while it was being withdrawn, it is resumed. A guest that acknowledged may suspend
    /// later still, since what it acknowledged cannot be withdrawn.</remarks>
    /// <exception cref="SuspendFailedException">The guest did not suspend; it runs on, unless it had shut down
    /// before (<see cref="SuspendStage.Request"/>; suspended already, for instance) or did so instead.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled; the guest
    /// runs on.</exception>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    Task SuspendAsync(TimeSpan timeout, CancellationToken cancellationToken = default);

    /// <summary>Lets a suspended domain go on where it is, with its devices connected.</summary>
    /// <remarks>Does nothing where the domain is not suspended.</remarks>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    void Resume();

    /// <summary>True where a request to suspend was given up by this process and the guest may follow it yet. When it does, it
    /// is resumed as long as this process lives; when the process ends before, somebody has to
    /// <see cref="UndoSuspend"/>.</summary>
    bool MaySuspend { get; }

    /// <summary>Undoes a request to suspend that nobody waits for any more, such as that of a process that was killed:
    /// resumes a guest that suspended, and takes a request back that the guest has not acknowledged. A guest that another
    /// program suspended is left alone.</summary>
    /// <returns>What was left. After <see cref="SuspendRemains.MayFollow"/> the caller asks again until the guest has
    /// suspended: nobody else will resume it.</returns>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    SuspendRemains UndoSuspend();

    /// <summary>Captures the state of the virtual machine beside its memory and devices.</summary>
    /// <exception cref="InvalidOperationException">The domain is not suspended.</exception>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    DomainRegisters CaptureRegisters();

    /// <summary>Reads what the domain is made of.</summary>
    /// <param name="cancellationToken">Ends the call, which runs a program of the toolstack.</param>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    /// <exception cref="HypervisorException">The toolstack does not tell.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    DomainConfiguration GetConfiguration(CancellationToken cancellationToken = default);

    /// <summary>Writes a PV guest as a libxc migration stream, most of it while the guest runs
    /// (<c>xc_domain_save</c>), or all of it while the guest is suspended where the hypervisor has no dirty log for such
    /// guests: the way to memory that <see cref="CanCopyPages"/> says cannot be copied.</summary>
    /// <param name="output">A pipe to write to; stays open.</param>
    /// <param name="suspend">Called once, on the calling thread, when the rest has to be copied from a suspended
    /// guest: returns when it is suspended. An exception ends the saving and is thrown on.</param>
    /// <remarks>Blocks until the stream is written. Uses the dirty log, and leaves it off.</remarks>
    /// <exception cref="NotSupportedException"><see cref="CanCopyPages"/> is true, or this hypervisor has no such
    /// stream.</exception>
    /// <exception cref="DirtyLogBusyException">Another program has the dirty log.</exception>
    /// <exception cref="HypervisorException">The guest could not be saved.</exception>
    void SaveStream(SafeFileHandle output, Action suspend);

    /// <summary>Switches the dirty log off, whoever switched it on. For what a process left behind that ended.</summary>
    /// <returns>True where it was on.</returns>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    bool StopDirtyLog();

    /// <summary>Lets a paused domain run.</summary>
    /// <exception cref="DomainNotFoundException">The domain is gone.</exception>
    void Unpause();

    /// <summary>Ends the domain at once, and takes its devices down.</summary>
    /// <exception cref="DomainNotFoundException">The domain is gone already.</exception>
    void Destroy();
}

/// <summary>What a PFN of a guest is. Values are Xen's <c>XEN_DOMCTL_PFINFO_*</c> shifted right by 28.</summary>
public enum PageType : byte
{
    /// <summary>Ordinary memory.</summary>
    Normal = 0x0,

    /// <summary>A PV page table of level 1.</summary>
    L1Table = 0x1,

    /// <summary>A PV page table of level 2.</summary>
    L2Table = 0x2,

    /// <summary>A PV page table of level 3.</summary>
    L3Table = 0x3,

    /// <summary>A PV page table of level 4.</summary>
    L4Table = 0x4,

    /// <summary>Set together with a page table level: the table is pinned.</summary>
    Pinned = 0x8,

    /// <summary>The page is broken; it has no contents.</summary>
    Broken = 0xd,

    /// <summary>Allocate only: the page is populated, its contents are of no interest.</summary>
    AllocateOnly = 0xe,

    /// <summary>Nothing is populated here.</summary>
    Unpopulated = 0xf,
}

/// <summary>State of a virtual machine beside memory and devices: what a restore puts back before the guest runs.</summary>
/// <param name="HvmContext">The HVM context (<c>xc_domain_hvm_getcontext</c>): vcpus, interrupt controllers, timers.
/// Empty for a PV guest.</param>
/// <param name="HvmParameters">HVM parameters by index (<c>hvm/params.h</c>) that are not zero.</param>
/// <param name="Tsc">The virtual time-stamp counter.</param>
public sealed record DomainRegisters(
    ReadOnlyMemory<byte> HvmContext,
    IReadOnlyDictionary<uint, ulong> HvmParameters,
    TscInfo Tsc);

/// <summary>The virtual time-stamp counter (<c>xc_domain_get_tsc_info</c>).</summary>
/// <param name="Mode">Emulation mode.</param>
/// <param name="ElapsedNanoseconds">Guest time in nanoseconds.</param>
/// <param name="KiloHertz">Frequency of the counter.</param>
/// <param name="Incarnation">Rises with each restore.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct TscInfo(uint Mode, ulong ElapsedNanoseconds, uint KiloHertz, uint Incarnation);
