using System.Runtime.InteropServices;
using Tmds.Linux;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>Access to the memory of domains (<c>xenforeignmemory</c>).</summary>
/// <remarks>May be used by several threads at a time. A mapped page stays the guest's and changes under a running
/// guest; it stays allocated for as long as it is mapped.</remarks>
public sealed class ForeignMemory : SafeHandle
{
    /// <summary>The size of a guest page in bytes.</summary>
    [NotInC("Another name of a constant that is proved.")]
    public const int PageSize = Xenctrl.XC_PAGE_SIZE;

    private ForeignMemory(nint handle)
        : base(nint.Zero, ownsHandle: true) => SetHandle(handle);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == nint.Zero;

    /// <summary>Opens the mapping device.</summary>
    /// <returns>A handle that the caller disposes.</returns>
    /// <exception cref="XenUnavailableException">The library or the device is missing.</exception>
    /// <exception cref="XenPermissionException">The caller is not root.</exception>
    public static ForeignMemory Open()
    {
        const string Operation = "open access to guests' memory";
        XenLibraries.Load(XenLibrary.ForeignMemory);
        RunningHypervisor.RequireDevice(RunningHypervisor.ControlDevices, Operation);
        nint opened = Xenforeignmemory.xenforeignmemory_open(nint.Zero, 0);
        if (opened == nint.Zero)
        {
            XenErrors.Throw(XenErrorSource.Device, Operation);
        }

        return new ForeignMemory(opened);
    }

    /// <summary>Maps frames of a domain side by side.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="access">Whether the mapping may be written.</param>
    /// <param name="pfns">The frames, at least one.</param>
    /// <param name="errors">As long as <paramref name="pfns"/>: receives for each frame 0 or the errno that kept it
    /// from being mapped (positive).</param>
    /// <returns>The mapping, which the caller disposes. It may hold some of the frames, or none.</returns>
    public ForeignMapping Map(uint domid, ForeignAccess access, ReadOnlySpan<ulong> pfns, Span<int> errors)
    {
        nint address = MapRaw(domid, access, pfns, errors);
        return new ForeignMapping(this, address, access, errors);
    }

    /// <summary>Copies frames of a domain: maps, copies and unmaps them. Allocates nothing on the managed heap.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="pfns">The frames.</param>
    /// <param name="destination">Receives <see cref="PageSize"/> bytes for each frame; zeros where a frame could not
    /// be mapped.</param>
    /// <param name="errors">As long as <paramref name="pfns"/>: receives for each frame 0, or the errno that kept it
    /// from being mapped (positive).</param>
    /// <returns>The number of frames copied.</returns>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public int CopyFrom(uint domid, ReadOnlySpan<ulong> pfns, Span<byte> destination, Span<int> errors)
    {
        if (destination.Length < (long)pfns.Length * PageSize)
        {
            throw new ArgumentException(
                $"{pfns.Length} pages do not fit into {destination.Length} bytes.", nameof(destination));
        }

        if (pfns.IsEmpty)
        {
            return 0;
        }

        nint address = MapRaw(domid, ForeignAccess.Read, pfns, errors);
        try
        {
            return CopyMapped(address, pfns.Length, errors, destination);
        }
        finally
        {
            _ = Xenforeignmemory.xenforeignmemory_unmap(handle, address, (nuint)pfns.Length);
        }
    }

    /// <summary>Copies frames of a domain to places of their own; otherwise as <see cref="CopyFrom"/>.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="pfns">The frames.</param>
    /// <param name="places">As long as <paramref name="pfns"/>: the page of <paramref name="destination"/> that each frame
    /// goes to.</param>
    /// <param name="destination">Receives <see cref="PageSize"/> bytes for each frame; zeros where a frame could not be
    /// mapped.</param>
    /// <param name="errors">As long as <paramref name="pfns"/>: receives for each frame 0 or an errno (positive).</param>
    /// <returns>The number of frames copied.</returns>
    /// <exception cref="ArgumentException">A span is too short, or a place lies outside the destination.</exception>
    public int CopyScattered(
        uint domid, ReadOnlySpan<ulong> pfns, ReadOnlySpan<int> places, Span<byte> destination, Span<int> errors)
    {
        if (places.Length != pfns.Length)
        {
            throw new ArgumentException($"{pfns.Length} frames have {places.Length} places.", nameof(places));
        }

        if (pfns.IsEmpty)
        {
            return 0;
        }

        nint address = MapRaw(domid, ForeignAccess.Read, pfns, errors);
        try
        {
            int copied = 0;
            for (int i = 0; i < pfns.Length; i++)
            {
                copied += CopyMapped(
                    address + ((nint)i * PageSize), 1, errors.Slice(i, 1),
                    destination.Slice(checked(places[i] * PageSize), PageSize));
            }

            return copied;
        }
        finally
        {
            _ = Xenforeignmemory.xenforeignmemory_unmap(handle, address, (nuint)pfns.Length);
        }
    }

    /// <summary>Copies the pages at <paramref name="address"/> that have no error; zeros for the others.</summary>
    internal static int CopyMapped(nint address, int pages, ReadOnlySpan<int> errors, Span<byte> destination)
    {
        int copied = 0;
        for (int i = 0; i < pages;)
        {
            // Pages with the same outcome, failed or not, are handled in one go.
            int end = i + 1;
            while (end < pages && (errors[end] == 0) == (errors[i] == 0))
            {
                end++;
            }

            int bytes = checked((end - i) * PageSize);
            Span<byte> target = destination.Slice(i * PageSize, bytes);
            if (errors[i] == 0)
            {
                // unsafe: a span over native memory has no safe constructor. Safe: the caller mapped `pages` pages at
                // `address`, i to end lie inside, and pages with an error, which would fault, are skipped.
                unsafe
                {
                    new ReadOnlySpan<byte>((byte*)address + ((nint)i * PageSize), bytes).CopyTo(target);
                }

                copied += end - i;
            }
            else
            {
                target.Clear();
            }

            i = end;
        }

        return copied;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Xenforeignmemory.xenforeignmemory_close(handle) == 0;

    private nint MapRaw(uint domid, ForeignAccess access, ReadOnlySpan<ulong> pfns, Span<int> errors)
    {
        ArgumentOutOfRangeException.ThrowIfZero(pfns.Length, nameof(pfns));
        if (errors.Length != pfns.Length)
        {
            throw new ArgumentException($"{pfns.Length} frames have {errors.Length} places for errors.", nameof(errors));
        }

        int prot = access == ForeignAccess.ReadWrite ? LibC.PROT_READ | LibC.PROT_WRITE : LibC.PROT_READ;
        nint address = Xenforeignmemory.xenforeignmemory_map2(
            this, domid, nint.Zero, prot, 0, (nuint)pfns.Length, ref MemoryMarshal.GetReference(pfns),
            ref MemoryMarshal.GetReference(errors));
        if (address == nint.Zero)
        {
            XenErrors.ThrowForDomain($"map {pfns.Length} pages of", domid);
        }

        foreach (ref int error in errors)
        {
            error = Math.Abs(error);
        }

        return address;
    }
}

/// <summary>What a mapping of guest memory may be used for.</summary>
[NotInC("Managed only.")]
public enum ForeignAccess
{
    /// <summary>Reading.</summary>
    Read,

    /// <summary>Reading and writing.</summary>
    ReadWrite,
}
