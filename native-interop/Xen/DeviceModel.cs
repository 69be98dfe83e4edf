using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>What Xen lets a device model do to HVM and PVH domains (<c>xendevicemodel</c>).</summary>
/// <remarks>May be used by several threads at a time.</remarks>
public sealed class DeviceModel : SafeHandle
{
    /// <summary>Extents of one call: 1 KiB of the stack.</summary>
    [NotInC("A tuning constant.")]
    private const int MaxExtents = 64;

    private DeviceModel(nint handle)
        : base(nint.Zero, ownsHandle: true) => SetHandle(handle);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == nint.Zero;

    /// <summary>Opens the device.</summary>
    /// <returns>A handle that the caller disposes.</returns>
    /// <exception cref="XenUnavailableException">The library or the device is missing.</exception>
    /// <exception cref="XenPermissionException">The caller is not root.</exception>
    public static DeviceModel Open()
    {
        const string Operation = "open the interface of device models";
        XenLibraries.Load(XenLibrary.DeviceModel);
        RunningHypervisor.RequireDevice(RunningHypervisor.ControlDevices, Operation);
        nint opened = Xendevicemodel.xendevicemodel_open(nint.Zero, 0);
        if (opened == nint.Zero)
        {
            XenErrors.Throw(XenErrorSource.Device, Operation);
        }

        return new DeviceModel(opened);
    }

    /// <summary>Marks pages as written in the domain's dirty log, those of them that are populated. Does nothing where the
    /// log is off, whoever's it is where it is on. Allocates nothing.</summary>
    /// <param name="domid">The id of an HVM or PVH domain.</param>
    /// <param name="pages">Runs of pages below the domain's last page frame.</param>
    public void MarkModified(uint domid, ReadOnlySpan<PfnRun> pages)
    {
        Span<DmOpModifiedMemoryExtent> extents = stackalloc DmOpModifiedMemoryExtent[MaxExtents];
        while (!pages.IsEmpty)
        {
            int count = Math.Min(pages.Length, MaxExtents);
            for (int i = 0; i < count; i++)
            {
                extents[i] = new DmOpModifiedMemoryExtent
                {
                    nr = (uint)pages[i].Count,
                    first_pfn = (ulong)pages[i].First,
                };
            }

            if (Xendevicemodel.xendevicemodel_modified_memory_bulk(
                    this, checked((ushort)domid), ref MemoryMarshal.GetReference(extents), (uint)count) != 0)
            {
                XenErrors.ThrowForDomain("mark pages in the dirty log of", domid);
            }

            pages = pages[count..];
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Xendevicemodel.xendevicemodel_close(handle) == 0;
}
