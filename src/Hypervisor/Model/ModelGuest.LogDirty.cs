using XenTwoLevelCkpt.NativeInterop.Memory;

namespace XenTwoLevelCkpt.Hypervisor.Model;

/// <content>Log-dirty mode: the hypervisor's operation, and what the dirty log makes of it.</content>
public sealed partial class ModelGuest
{
    private const int ESRCH = 3;

    /// <summary>Told of every log-dirty operation before it happens, with the domain paused; null for nobody.</summary>
    public Action<ShadowOp>? LogWatch
    {
        get => _logDirty.Watch;
        set => _logDirty.Watch = value;
    }

    /// <summary>Runs a log-dirty operation as any program with access to Xen may, with Xen's outcome.</summary>
    /// <param name="op">The operation.</param>
    /// <param name="bitmap">For CLEAN and PEEK: receives the bitmap, one word for 64 PFNs.</param>
    /// <param name="final">For CLEAN and PEEK: marks the hypervisor's own writable mappings first (PVH, HVM).</param>
    /// <returns>0, or a negative errno. Outside log-dirty mode CLEAN and PEEK succeed with an empty bitmap.</returns>
    public int ShadowControl(ShadowOp op, Span<ulong> bitmap = default, bool final = false)
    {
        using PauseScope paused = PauseDomain();
        if (_destroyed)
        {
            return -ESRCH;
        }

        if (final && Kind != GuestKind.Pv && op is ShadowOp.Clean or ShadowOp.Peek)
        {
            MarkMappings(MappingOwner.Hypervisor);
        }

        return _logDirty.Control(op, bitmap);
    }

    /// <summary>Does to the dirty log what a non-live <c>xl save</c> by somebody else does: ENABLE, which fails,
    /// OFF, ENABLE, CLEAN, OFF (<c>enable_logdirty</c> in libxenguest's <c>xg_sr_save.c</c>).</summary>
    public void StealDirtyLog()
    {
        using PauseScope paused = PauseDomain();
        if (_logDirty.Control(ShadowOp.EnableLogDirty, default) != 0)
        {
            _logDirty.Control(ShadowOp.Off, default);
            _logDirty.Control(ShadowOp.EnableLogDirty, default);
        }

        ulong[] bitmap = new ulong[(PfnCount + 63) / 64];
        _logDirty.Control(ShadowOp.Clean, bitmap);
        _logDirty.Control(ShadowOp.Off, default);
    }

    /// <summary>Does to the dirty log what a live migration by somebody else begins with: ENABLE, and where that fails OFF and
    /// ENABLE. The log is that program's until <see cref="EndTakeover"/>.</summary>
    /// <param name="visible">The toolstack can tell that the domain is being saved.</param>
    public void TakeOverDirtyLog(bool visible = true)
    {
        using PauseScope paused = PauseDomain();
        IsBeingSaved = visible;
        if (_logDirty.Control(ShadowOp.EnableLogDirty, default) != 0)
        {
            _logDirty.Control(ShadowOp.Off, default);
            _logDirty.Control(ShadowOp.EnableLogDirty, default);
        }
    }

    /// <summary>Ends the other program's log: OFF.</summary>
    public void EndTakeover()
    {
        using PauseScope paused = PauseDomain();
        _logDirty.Control(ShadowOp.Off, default);
        IsBeingSaved = false;
    }

    /// <summary>True while another program saves the domain, as the toolstack can tell.</summary>
    public bool IsBeingSaved { get; private set; }

    /// <summary>Marks pages dirty as any program with access to Xen may (<c>XEN_DMOP_modified_memory</c>): those of them
    /// that are populated. Does nothing outside log-dirty mode.</summary>
    /// <param name="pages">The pages.</param>
    /// <returns>0, or a negative errno: <c>-EINVAL</c> for a PV domain, and for a run that does not end before the last PFN.
    /// </returns>
    public int MarkModified(ReadOnlySpan<PfnRun> pages)
    {
        using PauseScope paused = PauseDomain();
        if (_destroyed)
        {
            return -ESRCH;
        }

        if (Kind == GuestKind.Pv)
        {
            return -LogDirty.EINVAL;
        }

        if (!_logDirty.Enabled)
        {
            return 0;
        }

        foreach (PfnRun run in pages)
        {
            if (run.End > PfnCount - 1)
            {
                return -LogDirty.EINVAL;
            }

            for (long pfn = run.First; pfn < run.End; pfn++)
            {
                if (_map.IsPopulated(pfn))
                {
                    _logDirty.Mark(pfn);
                }
            }
        }

        return 0;
    }

    internal OwnedDirtyLog StartDirtyLog() => new(new ModelShadowLog(this));

    internal bool StopAnyDirtyLog()
    {
        using var shadow = new ModelShadowLog(this);
        return OwnedDirtyLog.StopLeft(shadow);
    }

    /// <summary>What comes before each call on a log of <see cref="IDomain"/>.</summary>
    internal void BeginLogCall()
    {
        using PauseScope paused = PauseDomain();
        ThrowIfDestroyed();
        StrikeDestroyed();
        if (_faults.Take(ModelFault.DirtyLogStolen))
        {
            StealDirtyLog();
        }
    }

    private void MarkMappings(MappingOwner owner)
    {
        foreach (WritableMapping mapping in _mappings)
        {
            if (mapping.Owner == owner)
            {
                _logDirty.Mark(mapping.Pfn);
            }
        }
    }
}
