using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using XenTwoLevelCkpt.NativeInterop.Xen;

namespace XenTwoLevelCkpt.Hypervisor.Xen;

/// <content>What the toolstack knows of a domain, and does with it.</content>
internal sealed partial class XenDomain
{
    /// <inheritdoc/>
    public DomainConfiguration GetConfiguration(CancellationToken cancellationToken = default)
    {
        DomainInfo info = GetInfo();
        try
        {
            if (IsForgotten(info, _store.Knows(Domid, cancellationToken)))
            {
                throw new HypervisorException(
                    $"xenstored knows nothing of domain {Label}, which runs: it was ended and started anew, and lost what it knew. The "
                    + "domain cannot be suspended or managed any more. Shut it down from inside, and start the host again.");
            }

            CpuPolicy policy = _xen.GetCpuPolicy(Domid);
            return new DomainConfiguration(
                info.Name ?? $"{Uuid}", Kind, ReadToolstackConfiguration(cancellationToken),
                MemoryMarshal.AsBytes(policy.Leaves.Span).ToArray(), MemoryMarshal.AsBytes(policy.Msrs.Span).ToArray(),
                _hypervisor.Info.Version);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public void SaveStream(SafeFileHandle output, Action suspend)
    {
        if (CanCopyPages)
        {
            throw new NotSupportedException($"Domain {Label} is no PV guest: its pages are copied.");
        }

        try
        {
            _xen.SaveDomain(Domid, output, HasDirtyLog(), suspend);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <summary>True where a domain runs that xenstored does not know. One that is being built or restored it does not know yet:
    /// that one is paused, or has never run.</summary>
    internal static bool IsForgotten(DomainInfo info, bool known) =>
        !known && info.CpuTime > TimeSpan.Zero && (info.State & (DomainStates.Paused | DomainStates.Dying)) == DomainStates.None;

    // Asked by switching it on. libxenguest would take a log over that is on, a migration's for instance.
    private bool HasDirtyLog()
    {
        try
        {
            if (!_xen.TryEnableLogDirty(Domid))
            {
                throw new DirtyLogBusyException(Label);
            }

            _xen.DisableLogDirty(Domid);
            return true;
        }
        catch (XenUnsupportedException)
        {
            // A hypervisor without shadow paging.
            return false;
        }
    }

    /// <inheritdoc/>
    public bool StopDirtyLog()
    {
        _ = GetInfo();
        using var shadow = new XenShadowLog(_xen, _hypervisor.Marker, this);
        return OwnedDirtyLog.StopLeft(shadow);
    }

    /// <inheritdoc/>
    public void Unpause()
    {
        _ = GetInfo();
        try
        {
            _xen.Unpause(Domid);
        }
        catch (XenException e)
        {
            throw Translate(e);
        }
    }

    /// <inheritdoc/>
    public void Destroy()
    {
        _ = GetInfo();
        _ = XlCommand.Run("destroy", $"{Id}");
    }

    // 'xl list -l' prints an array of {"domid", "config"}, where config is the libxl_domain_config.
    private string ReadToolstackConfiguration(CancellationToken cancellationToken)
    {
        string output = XlCommand.Run(cancellationToken, "list", "-l", $"{Id}");
        try
        {
            using JsonDocument document = JsonDocument.Parse(output);
            JsonElement root = document.RootElement;
            if (root.ValueKind == JsonValueKind.Array && root.GetArrayLength() == 0)
            {
                throw new DomainUnfinishedException(Label);
            }

            JsonElement domain = root.ValueKind == JsonValueKind.Array ? root[0] : root;
            return domain.GetProperty("config").GetRawText();
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or IndexOutOfRangeException
            or InvalidOperationException)
        {
            throw new HypervisorException(
                $"'xl list -l {Id}' did not tell the configuration of domain {Label}: {e.Message}", e);
        }
    }
}
