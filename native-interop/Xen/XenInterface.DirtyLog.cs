using System.Runtime.InteropServices;
using XenTwoLevelCkpt.NativeInterop.Headers;
using XenTwoLevelCkpt.NativeInterop.Libc;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

public sealed partial class XenInterface
{
    /// <summary>Switches log-dirty mode on. The log starts out empty.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <exception cref="XenBusyException">It is on already, or a device is passed through to the domain: Xen answers
    /// EINVAL to both.</exception>
    public void EnableLogDirty(uint domid)
    {
        if (Xenctrl.xc_shadow_control(
                this, domid, Domctl.XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, nint.Zero, 0) != 0)
        {
            XenErrors.Throw(XenErrorSource.DirtyLogStart, $"start the dirty log of domain {domid}");
        }
    }

    /// <summary>Switches log-dirty mode off, whoever switched it on.</summary>
    /// <param name="domid">The domain's id.</param>
    public void DisableLogDirty(uint domid)
    {
        if (Xenctrl.xc_shadow_control(this, domid, Domctl.XEN_DOMCTL_SHADOW_OP_OFF, nint.Zero, 0) != 0)
        {
            XenErrors.ThrowForDomain("stop the dirty log of", domid);
        }
    }

    /// <summary>Reads the log-dirty bitmap. The hypervisor pauses the domain meanwhile. Allocates nothing.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="bitmap">Receives a bit for each page; the rest of the last word is cleared.</param>
    /// <param name="pages">Pages to read, at most eight for each byte of <paramref name="bitmap"/>.</param>
    /// <param name="clean">True: what was read is forgotten (CLEAN). False: it stays in the log (PEEK).</param>
    /// <param name="final">For a suspended domain: counts Xen's own writable mappings of guest pages as written.</param>
    /// <param name="stats">Xen's counters.</param>
    /// <returns>The pages that the bitmap covers now; less than <paramref name="pages"/> only where the hypervisor
    /// cannot log that many.</returns>
    /// <remarks>A log that somebody else switched off is not an error to Xen, nor is a dying domain: it answers with
    /// no dirty page. <see cref="TryEnableLogDirty"/> and <see cref="TryGetDomain"/> tell.</remarks>
    public ulong ReadLogDirty(
        uint domid, HypercallBuffer bitmap, ulong pages, bool clean, bool final, out ShadowStats stats)
    {
        ArgumentNullException.ThrowIfNull(bitmap);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pages, (ulong)bitmap.Length * 8);
        stats = default;
        uint op = clean ? Domctl.XEN_DOMCTL_SHADOW_OP_CLEAN : Domctl.XEN_DOMCTL_SHADOW_OP_PEEK;
        uint mode = final ? Domctl.XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL : 0;
        bool added = false;
        try
        {
            bitmap.DangerousAddRef(ref added);
            long covered = Xenctrl.xc_logdirty_control(
                this, domid, op, ref bitmap.Descriptor, (nuint)pages, mode, ref stats);
            if (covered < 0)
            {
                XenErrors.ThrowForDomain("read the dirty log of", domid);
            }

            ClearTail(bitmap.Words, pages);
            return (ulong)covered;
        }
        finally
        {
            if (added)
            {
                bitmap.DangerousRelease();
            }
        }
    }

    /// <summary>Clears what is behind the first <paramref name="bits"/> bits in their last word: Xen writes whole
    /// bytes and leaves the rest of the word as it was.</summary>
    internal static void ClearTail(Span<ulong> words, ulong bits)
    {
        int used = (int)(bits & 63);
        if (used != 0)
        {
            words[(int)(bits >> 6)] &= (1UL << used) - 1;
        }
    }

    /// <summary>Switches log-dirty mode on unless it is on; the only way to learn whether it is.</summary>
    /// <param name="domid">The id of a domain without passed-through devices.</param>
    /// <returns>True where it was off: it is on now, with an empty log, and pages written before are not in it. False
    /// where it was on: nothing changed, and who switched it on is not known.</returns>
    public bool TryEnableLogDirty(uint domid)
    {
        if (Xenctrl.xc_shadow_control(
                this, domid, Domctl.XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, nint.Zero, 0) == 0)
        {
            return true;
        }

        if (Marshal.GetLastPInvokeError() != Errno.EINVAL)
        {
            XenErrors.ThrowForDomain("start the dirty log of", domid);
        }

        return false;
    }
}
