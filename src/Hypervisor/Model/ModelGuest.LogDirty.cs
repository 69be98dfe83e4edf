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

    internal ModelDirtyLog StartDirtyLog()
    {
        using PauseScope paused = PauseDomain();
        ThrowIfDestroyed();
        StrikeDestroyed();
        if (_logDirty.Control(ShadowOp.EnableLogDirty, default) != 0)
        {
            throw new DirtyLogBusyException(Name);
        }

        return new ModelDirtyLog(this, _logDirty.Session, PfnCount);
    }

    internal void ReadDirtyLog(long session, ShadowOp op, Span<ulong> bitmap, bool final)
    {
        using PauseScope paused = PauseDomain();
        BeginLogCall();

        // Like Xen, a final reading delivers what there is, whoever's log that is.
        if (!final)
        {
            RequireSession(session);
        }
        else
        {
            if (Kind != GuestKind.Pv)
            {
                MarkMappings(MappingOwner.Hypervisor);
            }

            MarkMappings(MappingOwner.Backend);
        }

        _logDirty.Control(op, bitmap);
    }

    internal void RequireDirtyLog(long session)
    {
        using PauseScope paused = PauseDomain();
        BeginLogCall();
        RequireSession(session);
    }

    internal void StopDirtyLog(long session)
    {
        using PauseScope paused = PauseDomain();
        // OFF has no owner: after a loss it would end somebody else's log.
        if (!_destroyed && _logDirty.Session == session)
        {
            _logDirty.Control(ShadowOp.Off, default);
        }
    }

    internal bool StopAnyDirtyLog()
    {
        using PauseScope paused = PauseDomain();
        ThrowIfDestroyed();
        bool on = _logDirty.Enabled;
        _logDirty.Control(ShadowOp.Off, default);
        return on;
    }

    private void BeginLogCall()
    {
        ThrowIfDestroyed();
        StrikeDestroyed();
        if (_faults.Take(ModelFault.DirtyLogStolen))
        {
            StealDirtyLog();
        }
    }

    private void RequireSession(long session)
    {
        if (!_logDirty.Enabled || _logDirty.Session != session)
        {
            throw new DirtyLogLostException(Name);
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
