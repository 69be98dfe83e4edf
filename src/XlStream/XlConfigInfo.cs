namespace XenTwoLevelCkpt.XlStream;

/// <summary>How libxl virtualises a guest (<c>libxl_domain_type</c>).</summary>
public enum XlGuestType
{
    /// <summary>PV.</summary>
    Pv,

    /// <summary>PVH.</summary>
    Pvh,

    /// <summary>HVM, with a device model.</summary>
    Hvm,
}

/// <summary>What a <c>libxl_domain_config</c> is about.</summary>
/// <param name="Name"><c>c_info.name</c>.</param>
/// <param name="Uuid"><c>c_info.uuid</c>; null where there is none, and libxl makes one.</param>
/// <param name="Type"><c>c_info.type</c>.</param>
/// <param name="Disks"><c>disks</c>.</param>
/// <param name="Nics"><c>nics</c>.</param>
/// <param name="Devices">All devices beside disks and network interfaces.</param>
/// <param name="MemoryKiB">What libxl asks the host for: <c>b_info.target_memkb</c>, or <c>max_memkb</c> without one, and
/// <c>shadow_memkb</c>. 0 where the configuration says nothing of memory.</param>
public sealed record XlConfigInfo(
    string Name, Guid? Uuid, XlGuestType Type, IReadOnlyList<XlDisk> Disks, IReadOnlyList<XlNic> Nics,
    IReadOnlyList<XlDevice> Devices, long MemoryKiB);

/// <summary>A network interface of a configuration (<c>libxl_device_nic</c>).</summary>
/// <param name="DeviceId"><c>devid</c>: the n of <c>vifDOMID.n</c>.</param>
/// <param name="Mac"><c>mac</c>, as six octets in hexadecimal with colons; null where there is none.</param>
/// <param name="Bridge"><c>bridge</c>; null where there is none.</param>
/// <param name="BackendDomid"><c>backend_domid</c>: the domain that serves it; 0 for Dom0.</param>
/// <param name="BackendDomname"><c>backend_domname</c>: the same by name; null for Dom0.</param>
public sealed record XlNic(int DeviceId, string? Mac, string? Bridge, int BackendDomid, string? BackendDomname);

/// <summary>Another device of a configuration.</summary>
/// <param name="Kind">The member of <c>libxl_domain_config</c> that has it, such as <c>pcidevs</c> or <c>vtpms</c>.</param>
/// <param name="Number">Its place in that member, from 0 on.</param>
public sealed record XlDevice(string Kind, int Number);

/// <summary>A disk of a configuration (<c>libxl_device_disk</c>).</summary>
/// <param name="Vdev"><c>vdev</c>: the guest's name for it, such as xvda.</param>
/// <param name="PdevPath"><c>pdev_path</c>: the device or file behind it; null for an empty drive.</param>
/// <param name="Backend"><c>backend</c>: phy, tap, qdisk, standalone, or unknown.</param>
/// <param name="Format"><c>format</c>: raw, qcow, qcow2, vhd, qed, empty, or unknown.</param>
/// <param name="IsWritable"><c>readwrite</c>.</param>
/// <param name="IsCdrom"><c>is_cdrom</c>.</param>
/// <param name="Script"><c>script</c>: the hotplug script that attaches it; null for the standard one.</param>
/// <param name="BackendDomid"><c>backend_domid</c>: the domain that serves it; 0 for Dom0.</param>
/// <param name="BackendDomname"><c>backend_domname</c>: the same by name; null for Dom0.</param>
public sealed record XlDisk(
    string Vdev,
    string? PdevPath,
    string Backend,
    string Format,
    bool IsWritable,
    bool IsCdrom,
    string? Script,
    int BackendDomid,
    string? BackendDomname);
