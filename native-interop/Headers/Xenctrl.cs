using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.NativeInterop.Headers;

/// <summary><c>xenctrl.h</c> of libxenctrl, Xen 4.17 to 4.22.</summary>
/// <remarks>Unless a function says otherwise it returns 0, or -1 with errno set. A failed hypercall gives ESRCH for a
/// domain that does not exist, EPERM for a caller that is not privileged, EACCES where library and hypervisor are of
/// different releases. Handles may be used by several threads at a time.</remarks>
[CHeader("xenctrl.h")]
internal static partial class Xenctrl
{
    /// <summary>Bytes of a vcpu context, whatever the guest's word size.</summary>
    [CConstant("sizeof(vcpu_guest_context_any_t)")]
    internal const int VcpuGuestContextSize = 5168;

    [CConstant] internal const int XC_PAGE_SIZE = 4096;

    /// <summary>The batch limit of <see cref="xc_get_pfn_type_batch"/>; Xen answers E2BIG past it.</summary>
    [NotInC("A limit inside the hypervisor (getpageframeinfo3).")]
    internal const int MaxPfnTypeBatch = 1024;

    /// <summary>Opens the control interface. Returns a handle that the caller closes with
    /// <see cref="xc_interface_close"/>, or null with errno set. A null logger logs to stderr.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial nint xc_interface_open(nint logger, nint dombuild_logger, uint open_flags);

    /// <summary>Closes a handle; it is closed also where the return code says -1.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_interface_close(nint xch);

    /// <summary>Asks Xen about itself. <paramref name="arg"/> is null for <see cref="Version.XENVER_version"/>,
    /// which returns <c>major &lt;&lt; 16 | minor</c>.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_version(XenInterface xch, int cmd, ref byte arg);

    /// <summary>Fills <paramref name="info"/> with up to <paramref name="max_domains"/> domains of id
    /// <paramref name="first_domain"/> or higher, ascending. Returns their number, or -1. In all releases, unlike
    /// <c>xc_domain_getinfo</c> (to 4.17) and <c>xc_domain_getinfo_single</c> (from 4.18).</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_getinfolist(
        XenInterface xch, uint first_domain, uint max_domains, ref XcDomainInfo info);

    /// <summary>Pauses a domain; pauses nest, and the call returns when no vcpu runs any more.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_pause(XenInterface xch, uint domid);

    /// <summary>Takes one pause back.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_unpause(XenInterface xch, uint domid);

    /// <summary>Destroys a domain and frees its memory.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_destroy(XenInterface xch, uint domid);

    /// <summary>Shuts a domain down without asking the guest; <paramref name="reason"/> is a <c>SHUTDOWN_*</c> of
    /// <see cref="Sched"/>.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_shutdown(XenInterface xch, uint domid, int reason);

    /// <summary>Controls paging modes, log-dirty among them. Enabling a log that is enabled gives EINVAL.
    /// <paramref name="mb"/> may be null.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_shadow_control(XenInterface xch, uint domid, uint sop, nint mb, uint mode);

    /// <summary>Reads (PEEK) or reads and clears (CLEAN) the log-dirty bitmap into a buffer of at least
    /// <paramref name="pages"/> bits. Returns the number of pages covered, or -1. Succeeds with an empty bitmap
    /// where log-dirty mode is off or the domain is dying.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial long xc_logdirty_control(
        XenInterface xch, uint domid, uint sop, ref XcHypercallBuffer dirty_bitmap, nuint pages, uint mode,
        ref ShadowStats stats);

    /// <summary>Allocates zeroed pages that hypercalls may use and stores them in <paramref name="b"/>. Returns the
    /// address, or null with errno set. Released with <see cref="xc__hypercall_buffer_free_pages"/>.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial nint xc__hypercall_buffer_alloc_pages(
        XenInterface xch, ref XcHypercallBuffer b, int nr_pages);

    /// <summary>Frees the pages of <paramref name="b"/>. Cannot fail.</summary>
    [LibraryImport(XenLibrary.Control)]
    internal static partial void xc__hypercall_buffer_free_pages(nint xch, ref XcHypercallBuffer b, int nr_pages);

    /// <summary>Copies the context of a vcpu (registers of a PV guest; a part of them for HVM) to
    /// <paramref name="ctxt"/>, <see cref="VcpuGuestContextSize"/> bytes.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_vcpu_getcontext(XenInterface xch, uint domid, uint vcpu, ref byte ctxt);

    /// <summary>Sets the context of a vcpu from <see cref="VcpuGuestContextSize"/> bytes.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_vcpu_setcontext(XenInterface xch, uint domid, uint vcpu, ref byte ctxt);

    /// <summary>Copies the HVM context to <paramref name="ctxt_buf"/>. Returns its length, or -1 (ENOSPC where the
    /// buffer is too small). A null buffer of size 0 asks for the length.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_hvm_getcontext(XenInterface xch, uint domid, ref byte ctxt_buf, uint size);

    /// <summary>Sets the HVM context of a domain that is paused.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_hvm_setcontext(XenInterface xch, uint domid, ref byte hvm_ctxt, uint size);

    /// <summary>Reads an HVM parameter. EINVAL for a parameter this hypervisor does not know.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_hvm_param_get(XenInterface handle, uint dom, uint param, out ulong value);

    /// <summary>Writes an HVM parameter.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_hvm_param_set(XenInterface handle, uint dom, uint param, ulong value);

    /// <summary>Reads the virtual time-stamp counter's mode, guest time (ns), frequency (kHz) and incarnation.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_get_tsc_info(
        XenInterface xch, uint domid, out uint tsc_mode, out ulong elapsed_nsec, out uint gtsc_khz,
        out uint incarnation);

    /// <summary>Reads the highest guest frame number in use plus one.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_domain_nr_gpfns(XenInterface xch, uint domid, out ulong gpfns);

    /// <summary>Replaces each of <paramref name="num"/> frame numbers by its type (<c>XEN_DOMCTL_PFINFO_*</c>); at
    /// most <see cref="MaxPfnTypeBatch"/>.</summary>
    [NotInC("Declared in libxenctrl's private header xc_private.h; exported in every release from 4.17 to 4.22.")]
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_get_pfn_type_batch(XenInterface xch, uint dom, uint num, ref ulong arr);

    /// <summary>Describes the host.</summary>
    [LibraryImport(XenLibrary.Control, SetLastError = true)]
    internal static partial int xc_physinfo(XenInterface xch, out XcPhysInfo info);
}

/// <summary>Memory that a hypercall may use. Pages from <c>xc__hypercall_buffer_alloc_pages</c> need no bounce:
/// <see cref="dir"/> 0, <see cref="sz"/> 0, <see cref="ubuf"/> -1.</summary>
[CStruct("xc_hypercall_buffer_t")]
[CHeader("xenctrl.h")]
[StructLayout(LayoutKind.Sequential)]
internal struct XcHypercallBuffer
{
    internal nint hbuf;
    internal nint param_shadow;
    internal int dir;
    internal nint ubuf;
    internal nuint sz;
}
