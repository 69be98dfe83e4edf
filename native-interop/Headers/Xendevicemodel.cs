using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xendevicemodel.h</c> of libxendevicemodel 1.</summary>
[CHeader("xendevicemodel.h")]
internal static partial class Xendevicemodel
{
    /// <summary>Opens the device. Returns a handle for <see cref="xendevicemodel_close"/>, or null with errno set.
    /// </summary>
    [LibraryImport(XenLibrary.DeviceModel, SetLastError = true)]
    internal static partial nint xendevicemodel_open(nint logger, uint open_flags);

    /// <summary>Closes a handle. Returns 0, or -1 with errno set.</summary>
    [LibraryImport(XenLibrary.DeviceModel, SetLastError = true)]
    internal static partial int xendevicemodel_close(nint dmod);

    /// <summary>Marks pages of an HVM or PVH domain in its dirty log: of <paramref name="nr"/> extents those that are
    /// populated. Does nothing where the log is off. Returns 0, or -1 with errno set (EINVAL for a PV domain, and for an
    /// extent that does not end before the domain's last page frame).</summary>
    [LibraryImport(XenLibrary.DeviceModel, SetLastError = true)]
    internal static partial int xendevicemodel_modified_memory_bulk(
        DeviceModel dmod, ushort domid, ref DmOpModifiedMemoryExtent extents, uint nr);
}

/// <summary>Consecutive pages of <see cref="Xendevicemodel.xendevicemodel_modified_memory_bulk"/>.</summary>
[CStruct("struct xen_dm_op_modified_memory_extent")]
[CHeader("xendevicemodel.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct DmOpModifiedMemoryExtent
{
    internal uint nr;
    internal uint pad;
    internal ulong first_pfn;
}
