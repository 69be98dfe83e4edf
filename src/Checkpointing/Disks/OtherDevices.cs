using XenTwoLevelCkpt.Checkpointing.Node.Selection;
using XenTwoLevelCkpt.Hypervisor;
using XenTwoLevelCkpt.XlStream;

namespace XenTwoLevelCkpt.Checkpointing.Disks;

/// <summary>Devices beside disks and network interfaces: some have a state outside of the guest's memory that no checkpoint
/// of this software holds.</summary>
/// <remarks>A device of a kind that is not known here is refused, too: a later Xen may have it.</remarks>
internal static class OtherDevices
{
    private const string Advice = "Take it away, exclude the domain with 'xtlctl domain set NAME --exclude', or leave the "
        + "device's state out with '--memory-only'.";

    // Xen refuses log-dirty mode to a domain with a passed-through device (p2m, arch/x86/mm/hap and passthrough).
    private const string Passthrough =
        "Xen does not tell what such a device writes to the guest's memory. Take it away, or exclude the domain with 'xtlctl domain set NAME --exclude'.";

    // Framebuffer and keyboard are drawn from the guest's memory, a channel is a console, and a reserved range belongs to a
    // passed-through device: a restored guest gets new ones. Directories by 9pfs are disks here.
    private static readonly string[] Stateless = ["vfbs", "vkbs", "channels", "rdms", "p9s"];

    private static readonly Dictionary<string, (string What, bool Always)> States = new(StringComparer.Ordinal)
    {
        ["pcidevs"] = ("a PCI device (also a virtual function of an SR-IOV card)", true),
        ["dtdevs"] = ("a device of the host's device tree", true),
        ["vtpms"] = ("a virtual TPM", false),
        ["usbctrls"] = ("a USB controller", false),
        ["usbdevs"] = ("a USB device", false),
        ["pvcallsifs"] = ("sockets of the control domain (PV calls)", false),
        ["vdispls"] = ("a virtual display", false),
        ["vsnds"] = ("a virtual sound card", false),
        ["virtios"] = ("a virtio device", false),
    };

    /// <summary>Makes sure that a domain has no device whose state would be missing.</summary>
    /// <param name="configuration">The domain's configuration.</param>
    /// <param name="memoryOnly">Leaves out what can be left out.</param>
    /// <exception cref="DeviceNotCoveredException">It has one.</exception>
    /// <exception cref="HypervisorException">The configuration makes no sense.</exception>
    internal static void RequireCovered(DomainConfiguration configuration, bool memoryOnly)
    {
        foreach (XlDevice device in XenDiskProvider.Describe(configuration).Devices)
        {
            if (Stateless.Contains(device.Kind, StringComparer.Ordinal))
            {
                continue;
            }

            (string What, bool Always) state = States.GetValueOrDefault(
                device.Kind, ($"a device of the kind '{device.Kind}', which this software does not know", false));
            if (state.Always || !memoryOnly)
            {
                string advice = state.Always ? Passthrough : Advice;
                throw new DeviceNotCoveredException(
                    configuration.Name, state.What, advice.Replace("NAME", configuration.Name, StringComparison.Ordinal));
            }
        }
    }
}
