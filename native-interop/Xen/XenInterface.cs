using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

/// <summary>The hypervisor's control interface (<c>xc_interface</c>).</summary>
/// <remarks>May be used by several threads at a time. Domain ids are Xen's; a call on a domain that is gone throws
/// <see cref="XenNotFoundException"/>, and every call may throw the other subclasses of
/// <see cref="XenException"/>.</remarks>
public sealed partial class XenInterface : SafeHandle
{
    private XenInterface(nint handle)
        : base(nint.Zero, ownsHandle: true) => SetHandle(handle);

    /// <summary>The version of the running hypervisor.</summary>
    public XenVersion HypervisorVersion { get; private set; }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == nint.Zero;

    /// <summary>Opens the control interface and checks that library and hypervisor are of one release.</summary>
    /// <returns>A handle that the caller disposes.</returns>
    /// <exception cref="XenUnavailableException">A library or the control device is missing, or the library is of
    /// another release than the hypervisor; the message names it.</exception>
    /// <exception cref="XenPermissionException">The caller is not root.</exception>
    public static XenInterface Open()
    {
        const string Operation = "open Xen's control interface";
        XenLibraries.Load(XenLibrary.Control);
        RunningHypervisor.RequireDevice(RunningHypervisor.ControlDevices, Operation);
        nint opened = Xenctrl.xc_interface_open(XenLog.Handle, nint.Zero, 0);
        if (opened == nint.Zero)
        {
            XenErrors.Throw(XenErrorSource.Device, Operation);
        }

        var xen = new XenInterface(opened);
        try
        {
            xen.HypervisorVersion = xen.ReadVersion();
            RequireSameRelease(XenLibraries.ControlRelease, xen.HypervisorVersion);
            return xen;
        }
        catch
        {
            xen.Dispose();
            throw;
        }
    }

    /// <summary>Describes the host.</summary>
    public XcHostInfo GetHostInfo()
    {
        if (Xenctrl.xc_physinfo(this, out XcPhysInfo info) != 0)
        {
            XenErrors.Throw(XenErrorSource.Hypercall, "read the state of the host");
        }

        return new XcHostInfo((int)info.nr_cpus, info.cpu_khz, info.total_pages, info.free_pages);
    }

    /// <summary>Reads the command line that the hypervisor was started with.</summary>
    public string ReadCommandLine()
    {
        Span<byte> text = stackalloc byte[Headers.Version.CommandLineLength];
        if (Xenctrl.xc_version(this, Headers.Version.XENVER_commandline, ref MemoryMarshal.GetReference(text)) < 0)
        {
            XenErrors.Throw(XenErrorSource.Hypercall, "ask the hypervisor for its command line");
        }

        int end = text.IndexOf((byte)0);
        return Encoding.ASCII.GetString(end < 0 ? text : text[..end]);
    }

    /// <summary>Throws unless the libraries are of the hypervisor's release.</summary>
    internal static void RequireSameRelease(XenRelease library, XenVersion hypervisor)
    {
        if (library != hypervisor.Release)
        {
            throw new XenUnavailableException(
                "open Xen's control interface", 0,
                $"The running hypervisor is Xen {hypervisor}, but the library loaded is libxenctrl.so.{library}: the "
                + $"two speak different interfaces. Install libxenctrl.so.{hypervisor.Release} and "
                + $"libxenguest.so.{hypervisor.Release}, or reboot into Xen {library}.");
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Xenctrl.xc_interface_close(handle) == 0;

    private XenVersion ReadVersion()
    {
        int version = Xenctrl.xc_version(this, Headers.Version.XENVER_version, ref Unsafe.NullRef<byte>());
        Span<byte> extra = stackalloc byte[Headers.Version.XEN_EXTRAVERSION_LEN];
        if (version < 0
            || Xenctrl.xc_version(
                this, Headers.Version.XENVER_extraversion, ref MemoryMarshal.GetReference(extra)) < 0)
        {
            XenErrors.Throw(XenErrorSource.Hypercall, "ask the hypervisor for its version");
        }

        int end = extra.IndexOf((byte)0);
        return new XenVersion(
            XenRelease.FromHypercall(version), Encoding.ASCII.GetString(end < 0 ? extra : extra[..end]));
    }
}

/// <summary>The host as Xen sees it.</summary>
/// <param name="Cpus">Physical CPUs online.</param>
/// <param name="CpuKiloHertz">Their frequency.</param>
/// <param name="TotalPages">4 KiB pages of memory, those of all domains included.</param>
/// <param name="FreePages">4 KiB pages that no domain has.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct XcHostInfo(int Cpus, uint CpuKiloHertz, ulong TotalPages, ulong FreePages);
