using XenTwoLevelCkpt.NativeInterop.Headers;

namespace XenTwoLevelCkpt.NativeInterop.Xen;

public sealed partial class XenInterface
{
    // One hypercall lists this many domains; Xen hosts rarely have more, and the buffer is 14 KiB.
    [NotInC("A tuning constant.")]
    private const int ListBatch = 128;

    /// <summary>All domains, the control domain included, in ascending order of their ids.</summary>
    public IReadOnlyList<XcDomainInfo> ListDomains()
    {
        var all = new List<XcDomainInfo>();
        var batch = new XcDomainInfo[ListBatch];
        uint first = 0;
        while (true)
        {
            int count = Xenctrl.xc_domain_getinfolist(this, first, ListBatch, ref batch[0]);
            if (count < 0)
            {
                XenErrors.Throw(XenErrorSource.Hypercall, "list domains");
            }

            all.AddRange(batch.AsSpan(0, count));
            if (count < ListBatch)
            {
                return all;
            }

            first = batch[count - 1].domain + 1u;
        }
    }

    /// <summary>Reads the state of one domain. Allocates nothing.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="info">Its state, where it exists.</param>
    /// <returns>False where there is no such domain.</returns>
    public bool TryGetDomain(uint domid, out XcDomainInfo info)
    {
        info = default;
        int count = Xenctrl.xc_domain_getinfolist(this, domid, 1, ref info);
        if (count < 0)
        {
            XenErrors.ThrowForDomain("read the state of", domid);
        }

        // The call answers with the next higher domain where this one does not exist.
        if (count == 1 && info.domain == domid)
        {
            return true;
        }

        info = default;
        return false;
    }

    /// <summary>Pauses a domain. Pauses nest; no virtual CPU runs any more when the call returns.</summary>
    /// <param name="domid">The domain's id.</param>
    public void Pause(uint domid)
    {
        if (Xenctrl.xc_domain_pause(this, domid) != 0)
        {
            XenErrors.ThrowForDomain("pause", domid);
        }
    }

    /// <summary>Takes one <see cref="Pause"/> back.</summary>
    /// <param name="domid">The domain's id.</param>
    public void Unpause(uint domid)
    {
        if (Xenctrl.xc_domain_unpause(this, domid) != 0)
        {
            XenErrors.ThrowForDomain("unpause", domid);
        }
    }

    /// <summary>Destroys a domain: its memory is freed, its guest is not asked.</summary>
    /// <param name="domid">The domain's id.</param>
    public void Destroy(uint domid)
    {
        if (Xenctrl.xc_domain_destroy(this, domid) != 0)
        {
            XenErrors.ThrowForDomain("destroy", domid);
        }
    }

    /// <summary>Shuts a domain down without asking its guest.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="reason">What the toolstack is to see as the reason; <see cref="XcShutdownReason.Suspend"/>
    /// suspends an HVM guest that has no PV drivers.</param>
    public void Shutdown(uint domid, XcShutdownReason reason)
    {
        if (Xenctrl.xc_domain_shutdown(this, domid, (int)reason) != 0)
        {
            XenErrors.ThrowForDomain("shut down", domid);
        }
    }

    /// <summary>Lets a suspended domain go on where it is. <see cref="XenStore.ResumeDomain"/> has to follow.</summary>
    /// <param name="domid">The domain's id.</param>
    /// <param name="fast">True: the guest sees its suspend cancelled and keeps its devices. False: it reconnects
    /// them, as after a restore.</param>
    public void Resume(uint domid, bool fast = true)
    {
        XenLibraries.Load(XenLibrary.Guest);
        if (Xenguest.xc_domain_resume(this, domid, fast ? 1 : 0) != 0)
        {
            XenErrors.ThrowForDomain("resume", domid);
        }
    }
}

/// <summary>Why a domain shut down.</summary>
[CHeader("xenctrl.h")]
public enum XcShutdownReason
{
    /// <summary>The guest powered off.</summary>
    [CConstant("SHUTDOWN_poweroff")]
    PowerOff = Sched.SHUTDOWN_poweroff,

    /// <summary>The guest wants to be rebooted.</summary>
    [CConstant("SHUTDOWN_reboot")]
    Reboot = Sched.SHUTDOWN_reboot,

    /// <summary>The guest is suspended.</summary>
    [CConstant("SHUTDOWN_suspend")]
    Suspend = Sched.SHUTDOWN_suspend,

    /// <summary>The guest crashed.</summary>
    [CConstant("SHUTDOWN_crash")]
    Crash = Sched.SHUTDOWN_crash,

    /// <summary>The guest's watchdog expired.</summary>
    [CConstant("SHUTDOWN_watchdog")]
    Watchdog = Sched.SHUTDOWN_watchdog,

    /// <summary>The guest asked for a soft reset.</summary>
    [CConstant("SHUTDOWN_soft_reset")]
    SoftReset = Sched.SHUTDOWN_soft_reset,
}
